-- What projects share, and the ranges and rules that they share it with.

-- Who besides its owner may use a thing. `*` is every project. network.shared and network.external are what the rows here for `*` and
-- for access_as_external come down to, kept beside them so that one need not look here.
CREATE TABLE rbac_policy (
    id             TEXT PRIMARY KEY,
    project_id     TEXT NOT NULL,
    description    TEXT NOT NULL DEFAULT '',
    object_type    TEXT NOT NULL,  -- network, subnetpool, address_scope, address_group, security_group, qos_policy
    object_id      TEXT NOT NULL,
    action         TEXT NOT NULL,  -- access_as_shared, access_as_external
    target_project TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    revision       INTEGER NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX rbac_policy_once ON rbac_policy (object_id, action, target_project);
CREATE INDEX rbac_policy_target ON rbac_policy (target_project, object_type, object_id);
CREATE INDEX rbac_policy_project ON rbac_policy (project_id);

INSERT INTO rbac_policy (id, project_id, object_type, object_id, action, target_project, created_at, updated_at)
SELECT lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-a' || substr(hex(randomblob(2)), 2)
             || '-' || hex(randomblob(6))), project_id, 'network', id, 'access_as_shared', '*', created_at, updated_at
FROM network WHERE shared = 1 AND gone = 0
UNION ALL
SELECT lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-a' || substr(hex(randomblob(2)), 2)
             || '-' || hex(randomblob(6))), project_id, 'network', id, 'access_as_external', '*', created_at, updated_at
FROM network WHERE external = 1 AND gone = 0;

CREATE TABLE address_group (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL,
    name        TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    addresses   TEXT NOT NULL DEFAULT '[]',  -- JSON: ranges of both protocols, sorted, each with its prefix length
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    revision    INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX address_group_project ON address_group (project_id);
CREATE INDEX security_group_rule_addresses ON security_group_rule (remote_address_group_id);

-- Ranges in which no address comes twice, whoever owns the networks.
CREATE TABLE address_scope (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL,
    name        TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    ip_version  INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    revision    INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX address_scope_project ON address_scope (project_id);

CREATE TABLE subnetpool (
    id                TEXT PRIMARY KEY,
    project_id        TEXT NOT NULL,
    name              TEXT NOT NULL DEFAULT '',
    description       TEXT NOT NULL DEFAULT '',
    ip_version        INTEGER NOT NULL,
    prefixes          TEXT NOT NULL,       -- JSON, sorted and as few as can be
    default_prefixlen INTEGER NOT NULL,    -- of a subnet that does not say
    min_prefixlen     INTEGER NOT NULL,    -- the largest subnet
    max_prefixlen     INTEGER NOT NULL,    -- the smallest
    default_quota     INTEGER,             -- what one project may take: addresses in IPv4, /64s in IPv6
    is_default        INTEGER NOT NULL DEFAULT 0,
    address_scope_id  TEXT REFERENCES address_scope (id),
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    revision          INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX subnetpool_project ON subnetpool (project_id);
CREATE INDEX subnetpool_scope ON subnetpool (address_scope_id);
CREATE INDEX subnet_pool ON subnet (subnetpool_id);

-- What new security groups start with. remote_group_id may be PARENT: the group itself.
CREATE TABLE default_security_group_rule (
    id                      TEXT PRIMARY KEY,
    project_id              TEXT NOT NULL DEFAULT '',
    description             TEXT NOT NULL DEFAULT '',
    direction               TEXT NOT NULL,
    ethertype               TEXT NOT NULL,
    protocol                TEXT,
    port_range_min          INTEGER,
    port_range_max          INTEGER,
    remote_ip_prefix        TEXT,
    remote_group_id         TEXT,
    remote_address_group_id TEXT,
    used_in_default_sg      INTEGER NOT NULL DEFAULT 0,
    used_in_non_default_sg  INTEGER NOT NULL DEFAULT 1,
    created_at              INTEGER NOT NULL,
    updated_at              INTEGER NOT NULL,
    revision                INTEGER NOT NULL DEFAULT 0
);
INSERT INTO default_security_group_rule
    (id, description, direction, ethertype, remote_group_id, used_in_default_sg, used_in_non_default_sg, created_at, updated_at)
VALUES
    ('6e6f7e70-0001-4a2b-8c3d-000000000001', 'Legacy default SG rule for egress traffic', 'egress', 'IPv4', NULL, 1, 1, 0, 0),
    ('6e6f7e70-0001-4a2b-8c3d-000000000002', 'Legacy default SG rule for ingress traffic', 'ingress', 'IPv4', 'PARENT', 1, 0, 0, 0),
    ('6e6f7e70-0001-4a2b-8c3d-000000000003', 'Legacy default SG rule for egress traffic', 'egress', 'IPv6', NULL, 1, 1, 0, 0),
    ('6e6f7e70-0001-4a2b-8c3d-000000000004', 'Legacy default SG rule for ingress traffic', 'ingress', 'IPv6', 'PARENT', 1, 0, 0, 0);

-- What an operator has said of the agents that this machine is shown as (actions/agents.py); who says nothing has no row.
CREATE TABLE agent (
    id             TEXT PRIMARY KEY,
    admin_state_up INTEGER NOT NULL DEFAULT 1,
    description    TEXT
);
-- Whether the agent has it: null is by itself (a network with DHCP, a router with a leg), 0 taken off by hand, 1 given by hand.
ALTER TABLE network ADD COLUMN scheduled INTEGER;
ALTER TABLE router ADD COLUMN scheduled INTEGER;
ALTER TABLE network ADD COLUMN availability_zone_hints TEXT NOT NULL DEFAULT '[]';
ALTER TABLE router ADD COLUMN availability_zone_hints TEXT NOT NULL DEFAULT '[]';
ALTER TABLE router ADD COLUMN flavor_id TEXT;

-- Layer-2 segments. All segments of a network are one bridge here.
CREATE TABLE segment (
    id               TEXT PRIMARY KEY,
    project_id       TEXT NOT NULL DEFAULT '',
    network_id       TEXT NOT NULL REFERENCES network (id) ON DELETE CASCADE,
    name             TEXT,
    description      TEXT,
    network_type     TEXT NOT NULL,
    physical_network TEXT,
    segmentation_id  INTEGER,
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER NOT NULL,
    revision         INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX segment_network ON segment (network_id);
INSERT INTO segment (id, network_id, network_type, physical_network, segmentation_id, created_at, updated_at)
SELECT lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2) || '-a' || substr(hex(randomblob(2)), 2)
             || '-' || hex(randomblob(6))), id, network_type, physical_network, segmentation_id, created_at, updated_at
FROM network WHERE gone = 0;

CREATE TABLE metering_label (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL,
    name        TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    shared      INTEGER NOT NULL DEFAULT 0,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    revision    INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE metering_label_rule (
    id                    TEXT PRIMARY KEY,
    project_id            TEXT NOT NULL,
    description           TEXT NOT NULL DEFAULT '',
    metering_label_id     TEXT NOT NULL REFERENCES metering_label (id) ON DELETE CASCADE,
    direction             TEXT NOT NULL,
    remote_ip_prefix      TEXT,
    source_ip_prefix      TEXT,
    destination_ip_prefix TEXT,
    excluded              INTEGER NOT NULL DEFAULT 0,
    created_at            INTEGER NOT NULL,
    updated_at            INTEGER NOT NULL,
    revision              INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX metering_label_rule_label ON metering_label_rule (metering_label_id);

-- Kinds of routers to choose from, and what a kind means to the driver.
CREATE TABLE network_flavor (
    id           TEXT PRIMARY KEY,
    project_id   TEXT NOT NULL DEFAULT '',
    name         TEXT NOT NULL DEFAULT '',
    description  TEXT NOT NULL DEFAULT '',
    service_type TEXT NOT NULL,
    enabled      INTEGER NOT NULL DEFAULT 1,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    revision     INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE service_profile (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    driver      TEXT NOT NULL DEFAULT '',
    metainfo    TEXT NOT NULL DEFAULT '',
    enabled     INTEGER NOT NULL DEFAULT 1,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    revision    INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE flavor_service_profile (
    flavor_id          TEXT NOT NULL REFERENCES network_flavor (id) ON DELETE CASCADE,
    service_profile_id TEXT NOT NULL REFERENCES service_profile (id),
    PRIMARY KEY (flavor_id, service_profile_id)
) WITHOUT ROWID;

-- The network and the router that a project was given when it asked for none in particular.
CREATE TABLE auto_allocated_topology (
    project_id TEXT PRIMARY KEY,
    network_id TEXT NOT NULL REFERENCES network (id) ON DELETE CASCADE,
    router_id  TEXT NOT NULL
);
