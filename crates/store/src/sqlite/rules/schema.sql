-- Rules. Times are in milliseconds since 1970.

-- Counts the file's transactions; always one row.
CREATE TABLE head (
    sequence INTEGER NOT NULL
) STRICT;
INSERT INTO head VALUES (0);

-- How many deliveries there are, and the bytes that they and their events take; always one row.
CREATE TABLE counts (
    deliveries INTEGER NOT NULL,
    bytes      INTEGER NOT NULL
) STRICT;
INSERT INTO counts VALUES (0, 0);

-- How many there are to each target, and how many were given up.
CREATE TABLE targets (
    target     TEXT PRIMARY KEY,
    deliveries INTEGER NOT NULL,
    given_up   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Event buses that were made, or changed.
CREATE TABLE buses (
    account  TEXT NOT NULL,
    region   TEXT NOT NULL,
    name     TEXT NOT NULL,
    created  INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    checksum BLOB NOT NULL,
    settings TEXT NOT NULL,
    PRIMARY KEY (account, region, name)
) STRICT, WITHOUT ROWID;

-- Rules, with their targets.
CREATE TABLE rules (
    account  TEXT NOT NULL,
    region   TEXT NOT NULL,
    bus      TEXT NOT NULL,
    name     TEXT NOT NULL,
    created  INTEGER NOT NULL,
    checksum BLOB NOT NULL,
    settings TEXT NOT NULL,
    PRIMARY KEY (account, region, bus, name)
) STRICT, WITHOUT ROWID;

-- Events that are on their way to targets.
CREATE TABLE events (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    accepted INTEGER NOT NULL,
    trace    TEXT,
    checksum BLOB NOT NULL,
    body     TEXT NOT NULL
) STRICT;

-- To whom. `told` is the rule and the target as they were when the event came.
CREATE TABLE deliveries (
    number   INTEGER PRIMARY KEY AUTOINCREMENT,
    event    INTEGER NOT NULL,
    due      INTEGER NOT NULL,
    failed   INTEGER NOT NULL,
    target   TEXT NOT NULL,
    checksum BLOB NOT NULL,
    told     TEXT NOT NULL
) STRICT;
CREATE INDEX deliveries_by_due ON deliveries (due, number);
CREATE INDEX deliveries_by_event ON deliveries (event);

CREATE TRIGGER event_comes AFTER INSERT ON events BEGIN
    UPDATE counts SET bytes = bytes + octet_length(NEW.body);
END;
CREATE TRIGGER event_goes AFTER DELETE ON events BEGIN
    UPDATE counts SET bytes = bytes - octet_length(OLD.body);
END;
CREATE TRIGGER delivery_comes AFTER INSERT ON deliveries BEGIN
    UPDATE counts SET deliveries = deliveries + 1, bytes = bytes + octet_length(NEW.told);
    INSERT INTO targets VALUES (NEW.target, 1, 0) ON CONFLICT DO UPDATE SET deliveries = deliveries + 1;
END;
-- An event goes with the last of its deliveries.
CREATE TRIGGER delivery_goes AFTER DELETE ON deliveries BEGIN
    UPDATE counts SET deliveries = deliveries - 1, bytes = bytes - octet_length(OLD.told);
    UPDATE targets SET deliveries = deliveries - 1 WHERE target = OLD.target;
    DELETE FROM targets WHERE target = OLD.target AND deliveries < 1 AND given_up = 0;
    DELETE FROM events WHERE number = OLD.event AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event = OLD.event);
END;
