-- Glance's images. Files lie beside the database: images/<id> as uploaded, base/<id>.qcow2 as guests use it.

CREATE TABLE image (
    id               TEXT PRIMARY KEY,
    project_id       TEXT NOT NULL,     -- `owner` on the wire
    name             TEXT,              -- null: unnamed
    description      TEXT NOT NULL DEFAULT '',
    status           TEXT NOT NULL,     -- queued, saving, active, deactivated, killed
    visibility       TEXT NOT NULL DEFAULT 'shared',
    disk_format      TEXT,
    container_format TEXT,
    size             INTEGER,           -- bytes as uploaded
    virtual_size     INTEGER,           -- bytes as a guest sees the disk
    checksum         TEXT,              -- md5, hex
    os_hash_algo     TEXT,
    os_hash_value    TEXT,
    min_disk         INTEGER NOT NULL DEFAULT 0,  -- GiB
    min_ram          INTEGER NOT NULL DEFAULT 0,  -- MiB
    protected        INTEGER NOT NULL DEFAULT 0,
    os_hidden        INTEGER NOT NULL DEFAULT 0,
    properties       TEXT NOT NULL DEFAULT '{}',  -- JSON: what clients added (kernel_id, ramdisk_id, image_type, ...)
    host_status      TEXT NOT NULL DEFAULT '',    -- observed: '' nothing made yet, ready, error
    host_error       TEXT,
    gone             INTEGER NOT NULL DEFAULT 0,  -- wished away: hidden, until its files are seen gone
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER,
    revision         INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX image_list ON image (created_at, id);

CREATE TABLE image_member (
    image_id   TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
    member     TEXT NOT NULL,           -- a project's id
    status     TEXT NOT NULL DEFAULT 'pending',
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (image_id, member)
) WITHOUT ROWID;
