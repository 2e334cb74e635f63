-- The highest mark of each series of effects that are made once. `until` is in milliseconds since 1970.
CREATE TABLE once (
    series TEXT PRIMARY KEY,
    mark   INTEGER NOT NULL,
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX once_by_age ON once (until);
