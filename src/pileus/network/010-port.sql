-- What is attached to ports: quality of service, trunks, and logging of what security groups do.

CREATE TABLE qos_policy (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL,
    name        TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    is_default  INTEGER NOT NULL DEFAULT 0,  -- of its project's new networks; one for each project
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    revision    INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX qos_policy_project ON qos_policy (project_id);
CREATE UNIQUE INDEX qos_policy_default ON qos_policy (project_id) WHERE is_default = 1;

CREATE TABLE qos_rule (
    id             TEXT PRIMARY KEY,
    qos_policy_id  TEXT NOT NULL REFERENCES qos_policy (id) ON DELETE CASCADE,
    project_id     TEXT NOT NULL,
    description    TEXT NOT NULL DEFAULT '',
    type           TEXT NOT NULL,    -- bandwidth_limit, dscp_marking, minimum_bandwidth, minimum_packet_rate, packet_rate_limit
    direction      TEXT,             -- egress: from the guest; ingress: to it; any; null where the type has none
    max_kbps       INTEGER,          -- kilobits a second
    max_burst_kbps INTEGER,          -- kilobits; 0: what Neutron takes by itself
    min_kbps       INTEGER,
    dscp_mark      INTEGER,
    max_kpps       INTEGER,          -- thousands of packets a second
    max_burst_kpps INTEGER,
    min_kpps       INTEGER,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    revision       INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX qos_rule_policy ON qos_rule (qos_policy_id, type, ifnull(direction, ''));

-- null: never said; '': none. The API shows the latter only.
ALTER TABLE network ADD COLUMN qos_policy_id TEXT;
ALTER TABLE port ADD COLUMN qos_policy_id TEXT;
ALTER TABLE floating_ip ADD COLUMN qos_policy_id TEXT;
ALTER TABLE router ADD COLUMN qos_policy_id TEXT;                -- of its gateway
ALTER TABLE port ADD COLUMN propagate_uplink_status INTEGER;     -- null: never said
CREATE INDEX network_qos ON network (qos_policy_id) WHERE qos_policy_id <> '';
CREATE INDEX port_qos ON port (qos_policy_id) WHERE qos_policy_id <> '';
CREATE INDEX floating_ip_qos ON floating_ip (qos_policy_id) WHERE qos_policy_id <> '';

-- A trunk carries its sub-ports' frames over the parent port, tagged. A sub-port has device_owner trunk:subport, device_id = the trunk.
CREATE TABLE trunk (
    id             TEXT PRIMARY KEY,
    project_id     TEXT NOT NULL,
    name           TEXT NOT NULL DEFAULT '',
    description    TEXT NOT NULL DEFAULT '',
    admin_state_up INTEGER NOT NULL DEFAULT 1,
    port_id        TEXT NOT NULL UNIQUE REFERENCES port (id),
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    revision       INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX trunk_project ON trunk (project_id);

CREATE TABLE sub_port (
    port_id           TEXT PRIMARY KEY REFERENCES port (id),
    trunk_id          TEXT NOT NULL REFERENCES trunk (id) ON DELETE CASCADE,
    segmentation_type TEXT NOT NULL,
    segmentation_id   INTEGER NOT NULL,
    UNIQUE (trunk_id, segmentation_type, segmentation_id)
);

CREATE TABLE network_log (
    id            TEXT PRIMARY KEY,
    project_id    TEXT NOT NULL,
    name          TEXT NOT NULL DEFAULT '',
    description   TEXT NOT NULL DEFAULT '',
    resource_type TEXT NOT NULL,                -- security_group
    resource_id   TEXT,                         -- the group; null: all of the project's
    target_id     TEXT,                         -- the port; null: all that are in the group
    event         TEXT NOT NULL DEFAULT 'ALL',  -- ACCEPT, DROP, ALL
    enabled       INTEGER NOT NULL DEFAULT 1,
    created_at    INTEGER NOT NULL,
    updated_at    INTEGER NOT NULL,
    revision      INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX network_log_target ON network_log (target_id);
CREATE INDEX network_log_resource ON network_log (resource_id);
