-- Schedules. Times are in milliseconds since 1970.

-- Counts the file's transactions; always one row.
CREATE TABLE head (
    sequence INTEGER NOT NULL
) STRICT;
INSERT INTO head VALUES (0);

-- Groups of schedules.
CREATE TABLE groups (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    account  TEXT NOT NULL,
    region   TEXT NOT NULL,
    name     TEXT NOT NULL,
    tags     TEXT NOT NULL,
    created  INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    deleting INTEGER NOT NULL,
    UNIQUE (account, region, name)
) STRICT;

-- Schedules. `scheduled` is the time that the expression names, `due` when it is fired: both there, or neither.
-- `checksum` is over all that says when it is due and what it does.
CREATE TABLE schedules (
    number    INTEGER PRIMARY KEY AUTOINCREMENT,
    grp       INTEGER NOT NULL REFERENCES groups,
    name      TEXT NOT NULL,
    revision  INTEGER NOT NULL,
    enabled   INTEGER NOT NULL,
    created   INTEGER NOT NULL,
    modified  INTEGER NOT NULL,
    scheduled INTEGER,
    due       INTEGER,
    last      INTEGER,
    missed    INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    checksum  BLOB NOT NULL,
    settings  TEXT NOT NULL,
    UNIQUE (grp, name)
) STRICT;
-- How many there are; always one row.
CREATE TABLE counts (
    schedules INTEGER NOT NULL
) STRICT;
INSERT INTO counts VALUES (0);
CREATE TRIGGER schedule_comes AFTER INSERT ON schedules BEGIN
    UPDATE counts SET schedules = schedules + 1;
END;
CREATE TRIGGER schedule_goes AFTER DELETE ON schedules BEGIN
    UPDATE counts SET schedules = schedules - 1;
END;
CREATE INDEX schedules_by_due ON schedules (due) WHERE due IS NOT NULL;

-- Firings that have failed and are tried again. `fired` is what they need to know of the schedule; `checksum` is over it
-- and the two numbers.
CREATE TABLE firings (
    schedule  INTEGER NOT NULL,
    scheduled INTEGER NOT NULL,
    failed    INTEGER NOT NULL,
    due       INTEGER NOT NULL,
    checksum  BLOB NOT NULL,
    fired     TEXT NOT NULL,
    PRIMARY KEY (schedule, scheduled)
) STRICT;
CREATE INDEX firings_by_due ON firings (due);

-- Tokens of requests that have changed something. `request` is a digest.
CREATE TABLE tokens (
    account TEXT NOT NULL,
    region  TEXT NOT NULL,
    token   TEXT NOT NULL,
    request BLOB NOT NULL,
    until   INTEGER NOT NULL,
    PRIMARY KEY (account, region, token)
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_by_age ON tokens (until);
