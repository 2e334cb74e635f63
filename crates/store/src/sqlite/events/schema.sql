-- Events of asynchronous invocations: those that wait, run, or are dead.

-- Counts the file's transactions; always one row.
CREATE TABLE head (
    sequence INTEGER NOT NULL
) STRICT;
INSERT INTO head VALUES (0);

-- Functions that have, or had, events.
CREATE TABLE functions (
    id      INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    region  TEXT NOT NULL,
    name    TEXT NOT NULL,
    UNIQUE (account, region, name)
) STRICT;

-- Events as they were accepted; `checksum` is over all of it. Times are in milliseconds since 1970. A row is written once
-- and removed once: what changes with each attempt is apart, and small. The payload is the last column, so that what does
-- not need it does not read it.
CREATE TABLE events (
    event          INTEGER PRIMARY KEY,
    function       INTEGER NOT NULL,
    id             TEXT NOT NULL,
    qualifier      TEXT,
    accepted       INTEGER NOT NULL,
    due            INTEGER NOT NULL,
    bytes          INTEGER NOT NULL,
    trace_id       TEXT NOT NULL,
    client_context TEXT,
    checksum       BLOB NOT NULL,
    payload        BLOB NOT NULL
) STRICT;

-- Events that wait, in the order in which each function's are due.
CREATE TABLE waiting (
    function INTEGER NOT NULL,
    due      INTEGER NOT NULL,
    event    INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    begun    INTEGER NOT NULL,
    failed   INTEGER NOT NULL,
    deferred INTEGER NOT NULL,
    lost     INTEGER NOT NULL,
    cause    TEXT,
    PRIMARY KEY (function, due, event)
) STRICT, WITHOUT ROWID;

-- Events that are leased. `token` is the number of the transaction in which that was done.
CREATE TABLE running (
    event    INTEGER PRIMARY KEY,
    function INTEGER NOT NULL,
    token    INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    begun    INTEGER NOT NULL,
    failed   INTEGER NOT NULL,
    deferred INTEGER NOT NULL,
    lost     INTEGER NOT NULL,
    cause    TEXT
) STRICT;

-- How events ended that wait for that to be told, or are dead.
CREATE TABLE ends (
    event     INTEGER PRIMARY KEY,
    at        INTEGER NOT NULL,
    condition TEXT NOT NULL,
    attempts  INTEGER NOT NULL,
    version   TEXT,
    error     TEXT,
    message   TEXT NOT NULL,
    response  BLOB
) STRICT;

-- Events that were given up, in the order in which they died.
CREATE TABLE dead (
    event    INTEGER PRIMARY KEY,
    function INTEGER NOT NULL,
    id       TEXT NOT NULL,
    at       INTEGER NOT NULL,
    bytes    INTEGER NOT NULL
) STRICT;
CREATE INDEX dead_by_id ON dead (id);
CREATE INDEX dead_by_function ON dead (function, at, event);
CREATE INDEX dead_by_time ON dead (at, event);
