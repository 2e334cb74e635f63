-- `qualifier` is $LATEST, a version or an alias.

CREATE TABLE event_invokes (
    account   TEXT NOT NULL,
    region    TEXT NOT NULL,
    name      TEXT NOT NULL,
    qualifier TEXT NOT NULL,
    record    TEXT NOT NULL,
    checksum  BLOB NOT NULL,
    PRIMARY KEY (account, region, name, qualifier),
    FOREIGN KEY (account, region, name) REFERENCES functions ON DELETE CASCADE
) STRICT;

-- Destinations name topics, and outlive them: no foreign key.
CREATE TABLE topics (
    account  TEXT NOT NULL,
    region   TEXT NOT NULL,
    name     TEXT NOT NULL,
    record   TEXT NOT NULL,
    checksum BLOB NOT NULL,
    PRIMARY KEY (account, region, name)
) STRICT;
