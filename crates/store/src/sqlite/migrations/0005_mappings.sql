-- Event source mappings; `name` is the UUID. They outlive their functions: no foreign key.

CREATE TABLE mappings (
    account  TEXT NOT NULL,
    region   TEXT NOT NULL,
    name     TEXT NOT NULL,
    record   TEXT NOT NULL,
    checksum BLOB NOT NULL,
    PRIMARY KEY (account, region, name)
) STRICT;
