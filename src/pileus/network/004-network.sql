-- Neutron's resources. Wishes are written by actions; columns under "observed" only by the reconciler.
-- `gone` = wished away: hidden from the API; the row stays until the host object is seen gone, and so does its address.

CREATE TABLE network (
    id                    TEXT PRIMARY KEY,
    project_id            TEXT NOT NULL,
    name                  TEXT NOT NULL DEFAULT '',
    description           TEXT NOT NULL DEFAULT '',
    admin_state_up        INTEGER NOT NULL DEFAULT 1,
    shared                INTEGER NOT NULL DEFAULT 0,
    external              INTEGER NOT NULL DEFAULT 0,
    is_default            INTEGER NOT NULL DEFAULT 0,
    mtu                   INTEGER NOT NULL DEFAULT 1450,
    port_security_enabled INTEGER NOT NULL DEFAULT 1,
    network_type          TEXT NOT NULL DEFAULT 'vxlan',  -- provider:network_type
    physical_network      TEXT,                           -- 'public' for the one the outside host is on
    segmentation_id       INTEGER,
    gone                  INTEGER NOT NULL DEFAULT 0,
    created_at            INTEGER NOT NULL,
    updated_at            INTEGER NOT NULL,
    revision              INTEGER NOT NULL DEFAULT 1,
    -- observed
    host_status           TEXT NOT NULL DEFAULT 'BUILD',  -- BUILD, ACTIVE, ERROR
    host_error            TEXT
);
CREATE INDEX network_project ON network (project_id);

CREATE TABLE subnet (
    id                TEXT PRIMARY KEY,
    network_id        TEXT NOT NULL REFERENCES network (id),
    project_id        TEXT NOT NULL,
    name              TEXT NOT NULL DEFAULT '',
    description       TEXT NOT NULL DEFAULT '',
    ip_version        INTEGER NOT NULL,
    cidr              TEXT NOT NULL,
    gateway_ip        TEXT,
    enable_dhcp       INTEGER NOT NULL DEFAULT 1,
    ipv6_ra_mode      TEXT,
    ipv6_address_mode TEXT,
    allocation_pools  TEXT NOT NULL,               -- JSON [{start, end}]
    dns_nameservers   TEXT NOT NULL DEFAULT '[]',  -- JSON
    host_routes       TEXT NOT NULL DEFAULT '[]',  -- JSON [{destination, nexthop}]
    service_types     TEXT NOT NULL DEFAULT '[]',
    subnetpool_id     TEXT,
    cursor            TEXT,                        -- the address given last: the search for a free one starts after it
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    revision          INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX subnet_network ON subnet (network_id);

CREATE TABLE security_group (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL,
    name        TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    stateful    INTEGER NOT NULL DEFAULT 1,
    gone        INTEGER NOT NULL DEFAULT 0,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    revision    INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX security_group_project ON security_group (project_id, name);
CREATE UNIQUE INDEX security_group_default ON security_group (project_id) WHERE name = 'default' AND gone = 0;

CREATE TABLE security_group_rule (
    id                TEXT PRIMARY KEY,
    security_group_id TEXT NOT NULL REFERENCES security_group (id) ON DELETE CASCADE,
    project_id        TEXT NOT NULL,
    description       TEXT NOT NULL DEFAULT '',
    direction         TEXT NOT NULL,               -- ingress, egress
    ethertype         TEXT NOT NULL,               -- IPv4, IPv6
    protocol          TEXT,                        -- as given: a name or a number; null: all
    port_range_min    INTEGER,                     -- for ICMP the type
    port_range_max    INTEGER,                     -- for ICMP the code
    remote_ip_prefix  TEXT,
    remote_group_id   TEXT,
    remote_address_group_id TEXT,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    revision          INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX security_group_rule_group ON security_group_rule (security_group_id);
CREATE INDEX security_group_rule_remote ON security_group_rule (remote_group_id);

CREATE TABLE port (
    id                    TEXT PRIMARY KEY,
    network_id            TEXT NOT NULL REFERENCES network (id),
    project_id            TEXT NOT NULL,
    name                  TEXT NOT NULL DEFAULT '',
    description           TEXT NOT NULL DEFAULT '',
    mac_address           TEXT NOT NULL,
    admin_state_up        INTEGER NOT NULL DEFAULT 1,
    device_id             TEXT NOT NULL DEFAULT '',
    device_owner          TEXT NOT NULL DEFAULT '',  -- compute:nova, network:router_interface, network:router_gateway, network:floatingip, ...
    port_security_enabled INTEGER NOT NULL DEFAULT 1,
    allowed_address_pairs TEXT NOT NULL DEFAULT '[]',  -- JSON [{ip_address, mac_address}]
    extra_dhcp_opts       TEXT NOT NULL DEFAULT '[]',  -- JSON [{opt_name, opt_value, ip_version}]
    dns_name              TEXT NOT NULL DEFAULT '',
    vnic_type             TEXT NOT NULL DEFAULT 'normal',
    binding_profile       TEXT NOT NULL DEFAULT '{}',
    binding_host          TEXT NOT NULL DEFAULT '',    -- set while bound to a device on this host
    place                 INTEGER NOT NULL DEFAULT 0,  -- among the device's ports: the order of a server's cards
    gone                  INTEGER NOT NULL DEFAULT 0,
    created_at            INTEGER NOT NULL,
    updated_at            INTEGER NOT NULL,
    revision              INTEGER NOT NULL DEFAULT 1,
    -- observed
    status                TEXT NOT NULL DEFAULT 'DOWN',  -- DOWN, BUILD, ACTIVE: ACTIVE when its tap or leg is in place and something is bound to it
    host_error            TEXT
);
CREATE INDEX port_network ON port (network_id);
CREATE INDEX port_device ON port (device_id);
CREATE INDEX port_project ON port (project_id);
CREATE UNIQUE INDEX port_mac ON port (network_id, mac_address);

CREATE TABLE fixed_ip (
    port_id    TEXT NOT NULL REFERENCES port (id) ON DELETE CASCADE,
    subnet_id  TEXT NOT NULL REFERENCES subnet (id),
    network_id TEXT NOT NULL,
    ip_address TEXT NOT NULL,
    position   INTEGER NOT NULL DEFAULT 0,  -- order on the port
    PRIMARY KEY (subnet_id, ip_address)
) WITHOUT ROWID;
CREATE INDEX fixed_ip_port ON fixed_ip (port_id, position);
CREATE INDEX fixed_ip_address ON fixed_ip (network_id, ip_address);

CREATE TABLE port_security_group (
    port_id           TEXT NOT NULL REFERENCES port (id) ON DELETE CASCADE,
    security_group_id TEXT NOT NULL REFERENCES security_group (id),
    PRIMARY KEY (port_id, security_group_id)
) WITHOUT ROWID;
CREATE INDEX port_security_group_group ON port_security_group (security_group_id);

-- A router's legs are ports: device_owner network:router_interface or network:router_gateway, device_id = the router.
CREATE TABLE router (
    id                  TEXT PRIMARY KEY,
    project_id          TEXT NOT NULL,
    name                TEXT NOT NULL DEFAULT '',
    description         TEXT NOT NULL DEFAULT '',
    admin_state_up      INTEGER NOT NULL DEFAULT 1,
    gateway_network_id  TEXT,
    gateway_port_id     TEXT,
    enable_snat         INTEGER NOT NULL DEFAULT 1,
    routes              TEXT NOT NULL DEFAULT '[]',  -- JSON [{destination, nexthop}]
    gone                INTEGER NOT NULL DEFAULT 0,
    created_at          INTEGER NOT NULL,
    updated_at          INTEGER NOT NULL,
    revision            INTEGER NOT NULL DEFAULT 1,
    -- observed
    host_status         TEXT NOT NULL DEFAULT 'BUILD',
    host_error          TEXT
);
CREATE INDEX router_project ON router (project_id);

CREATE TABLE floating_ip (
    id                  TEXT PRIMARY KEY,
    project_id          TEXT NOT NULL,
    description         TEXT NOT NULL DEFAULT '',
    floating_network_id TEXT NOT NULL REFERENCES network (id),
    floating_ip_address TEXT NOT NULL,
    floating_port_id    TEXT NOT NULL,     -- the port on the external network that holds the address (device_owner network:floatingip)
    port_id             TEXT,              -- the inner port, when associated
    fixed_ip_address    TEXT,
    router_id           TEXT,              -- the router that translates it
    dns_name            TEXT NOT NULL DEFAULT '',
    dns_domain          TEXT NOT NULL DEFAULT '',
    created_at          INTEGER NOT NULL,
    updated_at          INTEGER NOT NULL,
    revision            INTEGER NOT NULL DEFAULT 1,
    -- observed
    status              TEXT NOT NULL DEFAULT 'DOWN'  -- ACTIVE when the router's tables have it
);
CREATE UNIQUE INDEX floating_ip_address ON floating_ip (floating_network_id, floating_ip_address);
CREATE INDEX floating_ip_port ON floating_ip (port_id);
CREATE INDEX floating_ip_router ON floating_ip (router_id);
CREATE INDEX floating_ip_project ON floating_ip (project_id);
