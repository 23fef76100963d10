-- Imports: staged data is images/<id>.stage; the import under way is the image's open task. Then caching, and metadata definitions.

ALTER TABLE image ADD COLUMN staged INTEGER;                       -- bytes that were staged; null: nothing is, or not all of it yet
ALTER TABLE image ADD COLUMN cached INTEGER NOT NULL DEFAULT 1;    -- wished: its base disk is made before anybody boots from it
ALTER TABLE image ADD COLUMN hits INTEGER NOT NULL DEFAULT 0;      -- servers that were made from it
ALTER TABLE image ADD COLUMN used_at INTEGER;                      -- when the last one was
ALTER TABLE image ADD COLUMN based_at INTEGER;                     -- observed: since when it is there

CREATE TABLE image_task (
    id         TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,           -- `owner` on the wire
    user_id    TEXT NOT NULL DEFAULT '',
    request_id TEXT NOT NULL DEFAULT '',
    image_id   TEXT,                    -- the image it fills; it may be gone
    type       TEXT NOT NULL,           -- api_image_import, location_import, import
    status     TEXT NOT NULL,           -- pending, processing, success, failure
    input      TEXT NOT NULL,           -- JSON: what was asked
    result     TEXT,                    -- JSON: what came of it
    message    TEXT NOT NULL DEFAULT '',
    expires_at INTEGER,                 -- set when it ends; later it is forgotten
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);
CREATE INDEX image_task_image ON image_task (image_id);

CREATE TABLE metadef_namespace (
    id           TEXT PRIMARY KEY,
    namespace    TEXT NOT NULL UNIQUE,  -- the name; clients never see the id
    project_id   TEXT NOT NULL,         -- `owner` on the wire
    display_name TEXT,
    description  TEXT,
    visibility   TEXT NOT NULL DEFAULT 'private',
    protected    INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
);
CREATE TABLE metadef_resource_type (
    name       TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE metadef_association (
    namespace_id      TEXT NOT NULL REFERENCES metadef_namespace (id) ON DELETE CASCADE,
    name              TEXT NOT NULL REFERENCES metadef_resource_type (name),
    prefix            TEXT,
    properties_target TEXT,
    created_at        INTEGER NOT NULL,
    updated_at        INTEGER NOT NULL,
    PRIMARY KEY (namespace_id, name)
) WITHOUT ROWID;
CREATE TABLE metadef_object (
    id           TEXT PRIMARY KEY,
    namespace_id TEXT NOT NULL REFERENCES metadef_namespace (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    description  TEXT,
    required     TEXT NOT NULL DEFAULT '[]',  -- JSON
    properties   TEXT NOT NULL DEFAULT '{}',  -- JSON
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    UNIQUE (namespace_id, name)
);
CREATE TABLE metadef_property (
    id           TEXT PRIMARY KEY,
    namespace_id TEXT NOT NULL REFERENCES metadef_namespace (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    definition   TEXT NOT NULL,         -- JSON: all but the name
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    UNIQUE (namespace_id, name)
);
CREATE TABLE metadef_tag (
    id           TEXT PRIMARY KEY,
    namespace_id TEXT NOT NULL REFERENCES metadef_namespace (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    UNIQUE (namespace_id, name)
);

-- What a new cloud knows: Heat's names of what definitions may be for, and the properties of images that this cloud's guests heed.
INSERT INTO metadef_resource_type (name, created_at, updated_at)
SELECT column1, strftime('%s', 'now') * 1000000, strftime('%s', 'now') * 1000000
FROM (VALUES ('OS::Cinder::Volume'), ('OS::Glance::Image'), ('OS::Nova::Aggregate'), ('OS::Nova::Flavor'), ('OS::Nova::Server'));
INSERT INTO metadef_namespace (id, namespace, project_id, display_name, description, visibility, protected, created_at, updated_at)
VALUES ('5b1f0b6e-6e0a-4c55-9d0e-7b1f4f0f6a01', 'Pileus::Boot', 'admin', 'How a guest starts',
        'Properties of an image that servers made from it heed when they start.', 'public', 1,
        strftime('%s', 'now') * 1000000, strftime('%s', 'now') * 1000000);
INSERT INTO metadef_association (namespace_id, name, created_at, updated_at)
SELECT id, 'OS::Glance::Image', created_at, updated_at FROM metadef_namespace;
INSERT INTO metadef_property (id, namespace_id, name, definition, created_at, updated_at)
SELECT column1, id, column2, column3, created_at, updated_at
FROM metadef_namespace, (VALUES
    ('5b1f0b6e-6e0a-4c55-9d0e-7b1f4f0f6a02', 'kernel_id',
     '{"title": "Kernel", "type": "string", "description": "The id of an image of format aki: the guest starts from it instead of from its disk."}'),
    ('5b1f0b6e-6e0a-4c55-9d0e-7b1f4f0f6a03', 'ramdisk_id',
     '{"title": "Initial RAM disk", "type": "string", "description": "The id of an image of format ari, for the kernel."}'),
    ('5b1f0b6e-6e0a-4c55-9d0e-7b1f4f0f6a04', 'os_command_line',
     '{"title": "Kernel command line", "type": "string", "description": "What the kernel is told, in place of the usual."}'));
