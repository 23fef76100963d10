-- Floating IP port forwarding: single ports, or ranges of them, of a floating IP that lead to inner ports.
-- A range leads to a range as wide, port by port, or to one port.
CREATE TABLE port_forwarding (
    id                  TEXT PRIMARY KEY,
    project_id          TEXT NOT NULL,               -- the floating IP's
    description         TEXT NOT NULL DEFAULT '',
    floating_ip_id      TEXT NOT NULL REFERENCES floating_ip (id) ON DELETE CASCADE,
    protocol            TEXT NOT NULL,               -- a name: tcp, udp, ...
    external_low        INTEGER NOT NULL,
    external_high       INTEGER NOT NULL,
    internal_port_id    TEXT NOT NULL,               -- the Neutron port
    internal_ip_address TEXT NOT NULL,
    internal_low        INTEGER NOT NULL,
    internal_high       INTEGER NOT NULL,
    created_at          INTEGER NOT NULL,
    updated_at          INTEGER NOT NULL,
    revision            INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX port_forwarding_floating ON port_forwarding (floating_ip_id);
CREATE INDEX port_forwarding_port ON port_forwarding (internal_port_id);

-- The domain of a network's names, with its last dot; empty: the cloud's own.
ALTER TABLE network ADD COLUMN dns_domain TEXT NOT NULL DEFAULT '';
