-- Keystone's resources. A domain is a project with is_domain = 1, as in Keystone. Ids are 32 hex digits, but for the first domain, `default`.

CREATE TABLE project (
    id          TEXT PRIMARY KEY,
    domain_id   TEXT,               -- null for a domain
    parent_id   TEXT,               -- the project, or the domain, it lies in
    is_domain   INTEGER NOT NULL DEFAULT 0,
    name        TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    enabled     INTEGER NOT NULL DEFAULT 1,
    options     TEXT NOT NULL DEFAULT '{}',
    extra       TEXT NOT NULL DEFAULT '{}',  -- keys that clients gave and Keystone keeps
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER,
    revision    INTEGER NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX project_name ON project (ifnull(domain_id, ''), name);

CREATE TABLE user (
    id                  TEXT PRIMARY KEY,
    domain_id           TEXT NOT NULL,
    name                TEXT NOT NULL,
    description         TEXT,
    email               TEXT,
    default_project_id  TEXT,
    enabled             INTEGER NOT NULL DEFAULT 1,
    password_hash       TEXT,               -- argon2id
    password_expires_at INTEGER,
    options             TEXT NOT NULL DEFAULT '{}',
    extra               TEXT NOT NULL DEFAULT '{}',
    created_at          INTEGER NOT NULL,
    updated_at          INTEGER,
    revision            INTEGER NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX user_name ON user (domain_id, name);

CREATE TABLE role (
    id          TEXT PRIMARY KEY,
    domain_id   TEXT,
    name        TEXT NOT NULL,
    description TEXT,
    options     TEXT NOT NULL DEFAULT '{}',
    extra       TEXT NOT NULL DEFAULT '{}',
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER,
    revision    INTEGER NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX role_name ON role (ifnull(domain_id, ''), name);

-- A role implies others: whoever has `role_id` has `implied_id` too.
CREATE TABLE implied_role (
    role_id    TEXT NOT NULL,
    implied_id TEXT NOT NULL,
    PRIMARY KEY (role_id, implied_id)
) WITHOUT ROWID;

-- target: a project's or domain's id, or 'system'
CREATE TABLE role_assignment (
    actor_id    TEXT NOT NULL,
    actor_type  TEXT NOT NULL DEFAULT 'user',  -- user or group
    target_id   TEXT NOT NULL,
    target_type TEXT NOT NULL,                 -- project, domain or system
    role_id     TEXT NOT NULL,
    inherited   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (actor_id, target_id, role_id, inherited)
) WITHOUT ROWID;

-- A token is a random text; only its hash is stored, so that a stolen database opens nothing. Dropped when it expires or is revoked.
CREATE TABLE token (
    id          TEXT PRIMARY KEY,   -- sha256 of the token, hex
    user_id     TEXT NOT NULL,
    project_id  TEXT,
    domain_id   TEXT,
    system      INTEGER NOT NULL DEFAULT 0,
    methods     TEXT NOT NULL,      -- JSON list
    audit_ids   TEXT NOT NULL,      -- JSON list, its own first, then the chain's
    issued_at   INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL
);
CREATE INDEX token_user ON token (user_id);
CREATE INDEX token_expiry ON token (expires_at);
