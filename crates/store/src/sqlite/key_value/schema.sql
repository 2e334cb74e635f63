-- Keys and values of functions.

-- `bytes`: what its entries count together, as the contract says.
CREATE TABLE buckets (
    id      INTEGER PRIMARY KEY,
    account TEXT NOT NULL,
    name    TEXT NOT NULL,
    bytes   INTEGER NOT NULL,
    UNIQUE (account, name)
) STRICT;

-- `id` is the position in lists: it is never used again. `expires` is in milliseconds since 1970. The value is the last
-- column, so that what does not need it does not read it.
CREATE TABLE entries (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    bucket   INTEGER NOT NULL REFERENCES buckets ON DELETE CASCADE,
    key      TEXT NOT NULL,
    bytes    INTEGER NOT NULL,
    expires  INTEGER,
    metadata TEXT,
    value    BLOB NOT NULL,
    UNIQUE (bucket, key)
) STRICT;

CREATE INDEX entries_by_position ON entries (bucket, id);
CREATE INDEX entries_by_expiry ON entries (expires) WHERE expires IS NOT NULL;
