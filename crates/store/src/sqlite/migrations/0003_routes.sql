-- A route leads to a function by its name, and outlives it: no foreign key.

CREATE TABLE routes (
    account  TEXT NOT NULL,
    region   TEXT NOT NULL,
    name     TEXT NOT NULL,
    record   TEXT NOT NULL,
    checksum BLOB NOT NULL,
    PRIMARY KEY (account, region, name)
) STRICT;

CREATE TABLE route_keys (
    account  TEXT NOT NULL,
    region   TEXT NOT NULL,
    name     TEXT NOT NULL,
    record   TEXT NOT NULL,
    checksum BLOB NOT NULL,
    PRIMARY KEY (account, region, name)
) STRICT;
