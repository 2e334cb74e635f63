-- Tasks that move the messages of a dead-letter queue. `target` is the name of the queue that takes them; without one each
-- goes where it came from. `rate` is messages a second, if that is bounded. `state` is spelt as in the API.
CREATE TABLE moves (
    task    INTEGER PRIMARY KEY,
    queue   INTEGER NOT NULL,
    target  TEXT,
    rate    INTEGER,
    started INTEGER NOT NULL,
    total   INTEGER NOT NULL,
    moved   INTEGER NOT NULL,
    state   TEXT NOT NULL,
    reason  TEXT
) STRICT;
CREATE INDEX moves_by_queue ON moves (queue, task);
CREATE INDEX moves_by_state ON moves (state, task);
