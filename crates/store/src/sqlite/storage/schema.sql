-- Storage events. Times are in milliseconds since 1970.

-- Counts the file's transactions; always one row.
CREATE TABLE head (
    sequence INTEGER NOT NULL
) STRICT;
INSERT INTO head VALUES (0);

-- How often the file was opened, and how many deliveries there are; always one row.
CREATE TABLE counts (
    openings   INTEGER NOT NULL,
    deliveries INTEGER NOT NULL
) STRICT;
INSERT INTO counts VALUES (0, 0);

-- Which bucket notifies whom.
CREATE TABLE notifications (
    account  TEXT NOT NULL,
    region   TEXT NOT NULL,
    name     TEXT NOT NULL,
    created  INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    settings TEXT NOT NULL,
    PRIMARY KEY (account, region, name)
) STRICT, WITHOUT ROWID;

-- What is known of objects. `stamp` is another after each change.
CREATE TABLE objects (
    bucket TEXT NOT NULL,
    key    TEXT NOT NULL,
    stamp  TEXT NOT NULL,
    PRIMARY KEY (bucket, key)
) STRICT, WITHOUT ROWID;

-- Changes that others have told of.
CREATE TABLE marks (
    bucket TEXT NOT NULL,
    mark   BLOB NOT NULL,
    until  INTEGER NOT NULL,
    PRIMARY KEY (bucket, mark)
) STRICT, WITHOUT ROWID;
CREATE INDEX marks_by_age ON marks (until);

-- Notifications on their way. `checksum` is over what is told: when it was taken in, the target and the record.
CREATE TABLE deliveries (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    accepted INTEGER NOT NULL,
    due      INTEGER NOT NULL,
    failed   INTEGER NOT NULL,
    checksum BLOB NOT NULL,
    target   TEXT NOT NULL,
    record   TEXT NOT NULL
) STRICT;
CREATE INDEX deliveries_by_due ON deliveries (due, number);
CREATE TRIGGER delivery_comes AFTER INSERT ON deliveries BEGIN
    UPDATE counts SET deliveries = deliveries + 1;
END;
CREATE TRIGGER delivery_goes AFTER DELETE ON deliveries BEGIN
    UPDATE counts SET deliveries = deliveries - 1;
END;
