-- Queues that applications send messages to. Times are in milliseconds since 1970.

-- Counts the file's transactions; always one row.
CREATE TABLE head (
    sequence INTEGER NOT NULL
) STRICT;
INSERT INTO head VALUES (0);

-- `heap` is where a queue's messages are; `target` the name of its dead-letter queue.
CREATE TABLE queues (
    queue    INTEGER PRIMARY KEY,
    heap     INTEGER NOT NULL,
    account  TEXT NOT NULL,
    region   TEXT NOT NULL,
    name     TEXT NOT NULL,
    target   TEXT,
    created  INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    settings TEXT NOT NULL,
    tags     TEXT NOT NULL,
    UNIQUE (account, region, name)
) STRICT;
CREATE INDEX queues_by_target ON queues (account, region, target, name) WHERE target IS NOT NULL;

-- Messages as they were sent; `checksum` is over all of it. Written once and removed once.
CREATE TABLE messages (
    message       INTEGER PRIMARY KEY,
    id            TEXT NOT NULL,
    sent          INTEGER NOT NULL,
    group_id      TEXT,
    deduplication TEXT,
    trace         TEXT,
    attributes    TEXT NOT NULL,
    checksum      BLOB NOT NULL,
    body          TEXT NOT NULL
) STRICT;

-- Where each message is. `received` counts its deliveries; `held` is 1 while the last of them is in flight, until `due`.
CREATE TABLE places (
    message   INTEGER PRIMARY KEY,
    heap      INTEGER NOT NULL,
    due       INTEGER NOT NULL,
    sent      INTEGER NOT NULL,
    bytes     INTEGER NOT NULL,
    received  INTEGER NOT NULL,
    held      INTEGER NOT NULL,
    first     INTEGER,
    last      INTEGER,
    grp       TEXT,
    came_from TEXT
) STRICT;
CREATE INDEX places_by_due ON places (heap, due, message);
CREATE INDEX places_by_age ON places (heap, sent);
CREATE INDEX places_by_group ON places (heap, grp, message) WHERE grp IS NOT NULL;
CREATE INDEX held_by_group ON places (heap, grp, due) WHERE grp IS NOT NULL AND held = 1;

-- Message groups of FIFO queues that have messages, and when the first of each can be received.
CREATE TABLE groups (
    heap INTEGER NOT NULL,
    grp  TEXT NOT NULL,
    due  INTEGER NOT NULL,
    PRIMARY KEY (heap, grp)
) STRICT, WITHOUT ROWID;
CREATE INDEX groups_by_due ON groups (heap, due);

-- Deduplication ids that are remembered. `scope` is the message group, or empty.
CREATE TABLE duplicates (
    queue   INTEGER NOT NULL,
    scope   TEXT NOT NULL,
    id      TEXT NOT NULL,
    message INTEGER NOT NULL,
    sent_id TEXT NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (queue, scope, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX duplicates_by_age ON duplicates (expires);

-- Heaps that no queue has any more, and whose messages are still to be removed.
CREATE TABLE emptied (
    heap INTEGER PRIMARY KEY
) STRICT;
