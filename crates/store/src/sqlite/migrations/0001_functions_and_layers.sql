-- Keys are columns, so that SQLite keeps them apart and in order; the rest of a row is a record as JSON.
-- `checksum` is the SHA-256 of the row's kind, key and record.

CREATE TABLE functions (
    account  TEXT NOT NULL,
    region   TEXT NOT NULL,
    name     TEXT NOT NULL,
    record   TEXT NOT NULL,
    checksum BLOB NOT NULL,
    PRIMARY KEY (account, region, name)
) STRICT;

-- Published versions; $LATEST is in its function's record.
CREATE TABLE versions (
    account  TEXT NOT NULL,
    region   TEXT NOT NULL,
    name     TEXT NOT NULL,
    version  INTEGER NOT NULL,
    record   TEXT NOT NULL,
    checksum BLOB NOT NULL,
    PRIMARY KEY (account, region, name, version),
    FOREIGN KEY (account, region, name) REFERENCES functions ON DELETE CASCADE
) STRICT;

CREATE TABLE aliases (
    account  TEXT NOT NULL,
    region   TEXT NOT NULL,
    name     TEXT NOT NULL,
    alias    TEXT NOT NULL,
    record   TEXT NOT NULL,
    checksum BLOB NOT NULL,
    PRIMARY KEY (account, region, name, alias),
    FOREIGN KEY (account, region, name) REFERENCES functions ON DELETE CASCADE
) STRICT;

-- A layer outlives its versions: its record is the highest number that it has used.
CREATE TABLE layers (
    account  TEXT NOT NULL,
    region   TEXT NOT NULL,
    name     TEXT NOT NULL,
    record   TEXT NOT NULL,
    checksum BLOB NOT NULL,
    PRIMARY KEY (account, region, name)
) STRICT;

CREATE TABLE layer_versions (
    account  TEXT NOT NULL,
    region   TEXT NOT NULL,
    name     TEXT NOT NULL,
    version  INTEGER NOT NULL,
    record   TEXT NOT NULL,
    checksum BLOB NOT NULL,
    PRIMARY KEY (account, region, name, version),
    FOREIGN KEY (account, region, name) REFERENCES layers
) STRICT;

-- One row: the number of the last transaction, and the digest of all rows of the other tables.
CREATE TABLE head (
    only     INTEGER PRIMARY KEY CHECK (only = 1),
    sequence INTEGER NOT NULL,
    content  BLOB NOT NULL
) STRICT;

INSERT INTO head VALUES (1, 0, zeroblob(32));
