-- Nova's resources. A server row carries copies of its flavor and public key, so that deleting those changes no server.

CREATE TABLE flavor (
    id          TEXT PRIMARY KEY,          -- flavorid on the wire: a uuid, or what the admin chose
    name        TEXT NOT NULL UNIQUE,
    description TEXT,
    ram         INTEGER NOT NULL,          -- MiB
    vcpus       INTEGER NOT NULL,
    disk        INTEGER NOT NULL,          -- GiB
    ephemeral   INTEGER NOT NULL DEFAULT 0,
    swap        INTEGER NOT NULL DEFAULT 0,  -- MiB
    rxtx_factor REAL NOT NULL DEFAULT 1.0,
    is_public   INTEGER NOT NULL DEFAULT 1,
    disabled    INTEGER NOT NULL DEFAULT 0,
    extra_specs TEXT NOT NULL DEFAULT '{}',  -- JSON
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER,
    revision    INTEGER NOT NULL DEFAULT 1
);

CREATE TABLE flavor_access (
    flavor_id  TEXT NOT NULL REFERENCES flavor (id) ON DELETE CASCADE,
    project_id TEXT NOT NULL,
    PRIMARY KEY (flavor_id, project_id)
) WITHOUT ROWID;

CREATE TABLE keypair (
    id          INTEGER PRIMARY KEY,
    user_id     TEXT NOT NULL,
    name        TEXT NOT NULL,
    type        TEXT NOT NULL DEFAULT 'ssh',
    public_key  TEXT NOT NULL,
    fingerprint TEXT NOT NULL,             -- md5, as Nova shows it
    created_at  INTEGER NOT NULL,
    UNIQUE (user_id, name)
);

CREATE TABLE server (
    id                TEXT PRIMARY KEY,
    project_id        TEXT NOT NULL,
    user_id           TEXT NOT NULL,
    name              TEXT NOT NULL,
    description       TEXT,
    hostname          TEXT NOT NULL,
    reservation_id    TEXT NOT NULL,
    launch_index      INTEGER NOT NULL DEFAULT 0,
    image_id          TEXT,                -- null: booted from a volume
    flavor            TEXT NOT NULL,       -- JSON copy: {id, name, vcpus, ram, disk, ephemeral, swap, extra_specs, rxtx_factor}
    vcpus             INTEGER NOT NULL,    -- the same three numbers as columns, for quotas and capacity
    ram               INTEGER NOT NULL,
    disk              INTEGER NOT NULL,
    image             TEXT NOT NULL DEFAULT '{}',  -- JSON copy: {disk_format, container_format, min_disk, min_ram, properties: {kernel_id, ...}}
    key_name          TEXT,
    public_key        TEXT,                -- copy
    key_type          TEXT,
    user_data         TEXT,                -- base64, as given
    config_drive      INTEGER NOT NULL DEFAULT 0,
    metadata          TEXT NOT NULL DEFAULT '{}',
    personality       TEXT NOT NULL DEFAULT '[]',  -- JSON [{path, contents}]
    availability_zone TEXT NOT NULL DEFAULT 'nova',
    disk_config       TEXT NOT NULL DEFAULT 'MANUAL',
    access_ip_v4      TEXT,
    access_ip_v6      TEXT,
    own_ports         TEXT NOT NULL DEFAULT '[]',  -- JSON list of port ids that were made for this server, and go with it
    device_tags       TEXT NOT NULL DEFAULT '{}',  -- JSON {port id: tag}
    server_group_id   TEXT,
    password          TEXT NOT NULL DEFAULT '',    -- as the guest posted it, encrypted with the key pair's public half
    placed            INTEGER NOT NULL DEFAULT 1,  -- 0: no host was found; it takes no memory here and is only ever deleted
    locked            INTEGER NOT NULL DEFAULT 0,
    locked_reason     TEXT,
    -- the wish
    vm_state          TEXT NOT NULL,       -- building, active, stopped, error, deleted: as in Nova
    task_state        TEXT,                -- the verb under way, or null
    power             TEXT NOT NULL DEFAULT 'on',   -- what the host should have: on, off, gone
    generation        INTEGER NOT NULL DEFAULT 1,   -- the guest is server-<id>.<generation>; a start or a reboot is the next number
    soft              INTEGER NOT NULL DEFAULT 0,   -- ask the guest before pulling the plug (stop, soft reboot)
    deadline          INTEGER,             -- microseconds: pull the plug after this
    host_uid          INTEGER,             -- the guest's own user inside the datacenter; null with a single map
    -- observed
    power_state       INTEGER NOT NULL DEFAULT 0,   -- 0 no state, 1 running, 3 paused, 4 shut down
    fault             TEXT,                -- JSON {code, message, details, created}
    launched_at       INTEGER,
    terminated_at     INTEGER,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    deleted_at        INTEGER,
    revision          INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX server_list ON server (project_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX server_list_all ON server (created_at, id) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX server_host_uid ON server (host_uid) WHERE deleted_at IS NULL AND host_uid IS NOT NULL;
CREATE INDEX server_changed ON server (updated_at);
-- what a project's quota and the machine's memory are counted from, so that counting touches no row
CREATE INDEX server_project_size ON server (project_id, vcpus, ram) WHERE deleted_at IS NULL;
CREATE INDEX server_size ON server (placed, vcpus, ram, disk, vm_state) WHERE deleted_at IS NULL;

CREATE TABLE server_group (
    id         TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    name       TEXT NOT NULL,
    policy     TEXT NOT NULL,              -- affinity, anti-affinity, soft-affinity, soft-anti-affinity
    rules      TEXT NOT NULL DEFAULT '{}', -- JSON
    created_at INTEGER NOT NULL
);
CREATE INDEX server_group_project ON server_group (project_id);

CREATE TABLE aggregate (
    id                INTEGER PRIMARY KEY,
    uuid              TEXT NOT NULL,
    name              TEXT NOT NULL UNIQUE,
    availability_zone TEXT,
    metadata          TEXT NOT NULL DEFAULT '{}',  -- JSON
    hosts             TEXT NOT NULL DEFAULT '[]',  -- JSON list of host names
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER
);
