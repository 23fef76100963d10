-- A network card on its way into, or out of, a server that runs: the wish, until the guest has taken it or let go of it. When the machine is
-- off, or starts, it is given exactly the cards of its ports, so nothing of this is needed then.

CREATE TABLE interface (
    port_id    TEXT PRIMARY KEY,
    server_id  TEXT NOT NULL,
    verb       TEXT NOT NULL,              -- attach, detach
    request_id TEXT NOT NULL,              -- of the action record that ends with it
    deadline   INTEGER NOT NULL            -- microseconds: given up after this
) WITHOUT ROWID;
CREATE INDEX interface_server ON interface (server_id);
