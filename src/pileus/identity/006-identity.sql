-- Groups, delegation (application credentials, trusts, OAuth), credentials, the catalog, limits, federation and the audit log.
-- Ids are 32 hex digits. JSON columns say so. Times are microseconds UTC.

ALTER TABLE user ADD COLUMN password_created_at INTEGER;           -- null: when the user was made
ALTER TABLE user ADD COLUMN failed_count INTEGER NOT NULL DEFAULT 0;  -- wrong passwords since the last right one
ALTER TABLE user ADD COLUMN failed_at INTEGER;                     -- the last of them
ALTER TABLE user ADD COLUMN last_active_at INTEGER;                -- the last time it signed in by password
ALTER TABLE token ADD COLUMN trust_id TEXT;
ALTER TABLE token ADD COLUMN application_credential_id TEXT;
ALTER TABLE token ADD COLUMN access_token_id TEXT;                 -- the OAuth access token it came from
CREATE INDEX token_project ON token (project_id);
CREATE INDEX role_assignment_target ON role_assignment (target_id);
CREATE INDEX project_parent ON project (parent_id);

-- the hashes a user has had, newest last; how many are compared is a setting
CREATE TABLE password (
    user_id    TEXT NOT NULL,
    hash       TEXT NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE INDEX password_user ON password (user_id, created_at);

CREATE TABLE user_group (
    id          TEXT PRIMARY KEY,
    domain_id   TEXT NOT NULL,
    name        TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    extra       TEXT NOT NULL DEFAULT '{}',
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER,
    revision    INTEGER NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX user_group_name ON user_group (domain_id, name);

CREATE TABLE user_group_member (
    group_id TEXT NOT NULL,
    user_id  TEXT NOT NULL,
    PRIMARY KEY (group_id, user_id)
) WITHOUT ROWID;
CREATE INDEX user_group_member_user ON user_group_member (user_id);

-- A password of a user's own making for a program: some of its roles in one project.
CREATE TABLE application_credential (
    id           TEXT PRIMARY KEY,
    user_id      TEXT NOT NULL,
    project_id   TEXT NOT NULL,
    name         TEXT NOT NULL,
    description  TEXT,
    secret_hash  TEXT NOT NULL,     -- argon2id
    expires_at   INTEGER,
    unrestricted INTEGER,           -- 1: may make further ones, and trusts
    roles        TEXT NOT NULL,     -- JSON list of role ids
    rules        TEXT,              -- JSON list of access rule ids; null: it may ask for anything
    created_at   INTEGER NOT NULL
);
CREATE UNIQUE INDEX application_credential_name ON application_credential (user_id, name);

CREATE TABLE access_rule (
    id      TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    service TEXT NOT NULL,  -- a service's type
    method  TEXT NOT NULL,
    path    TEXT NOT NULL   -- with {name}, * (one segment) and ** (any number)
);
CREATE UNIQUE INDEX access_rule_same ON access_rule (user_id, service, method, path);

-- The trustor lets the trustee act in a project, with some of the trustor's roles.
CREATE TABLE trust (
    id                   TEXT PRIMARY KEY,
    trustor_user_id      TEXT NOT NULL,
    trustee_user_id      TEXT NOT NULL,
    project_id           TEXT,
    impersonation        INTEGER NOT NULL,
    expires_at           INTEGER,
    remaining_uses       INTEGER,            -- null: any number
    redelegated_trust_id TEXT,
    redelegation_count   INTEGER NOT NULL DEFAULT 0,
    roles                TEXT NOT NULL,      -- JSON list of role ids
    extra                TEXT NOT NULL DEFAULT '{}',
    created_at           INTEGER NOT NULL
);
CREATE INDEX trust_trustor ON trust (trustor_user_id);
CREATE INDEX trust_trustee ON trust (trustee_user_id);

-- Secrets that a user keeps here: EC2 keys, TOTP seeds, certificates. The blob is encrypted with the key file beside the database.
CREATE TABLE credential (
    id         TEXT PRIMARY KEY,   -- of an EC2 key: the sha256 of its access part
    user_id    TEXT NOT NULL,
    project_id TEXT,
    type       TEXT NOT NULL,
    blob       TEXT NOT NULL,      -- a Fernet token
    extra      TEXT NOT NULL DEFAULT '{}',
    created_at INTEGER NOT NULL,
    updated_at INTEGER,
    revision   INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX credential_user ON credential (user_id, type);

-- The catalog. What is built in is entered once (see `catalog_entry`); from then on it belongs to the admin.
CREATE TABLE region (
    id               TEXT PRIMARY KEY,
    parent_region_id TEXT,
    description      TEXT NOT NULL DEFAULT '',
    extra            TEXT NOT NULL DEFAULT '{}',
    created_at       INTEGER NOT NULL,
    updated_at       INTEGER,
    revision         INTEGER NOT NULL DEFAULT 1
);

CREATE TABLE service (
    id          TEXT PRIMARY KEY,
    type        TEXT NOT NULL,
    name        TEXT,
    description TEXT,
    enabled     INTEGER NOT NULL DEFAULT 1,
    extra       TEXT NOT NULL DEFAULT '{}',
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER,
    revision    INTEGER NOT NULL DEFAULT 1
);

CREATE TABLE endpoint (
    id         TEXT PRIMARY KEY,
    service_id TEXT NOT NULL,
    region_id  TEXT,
    interface  TEXT NOT NULL,
    url        TEXT NOT NULL,   -- beginning with '/': below the address that the client used
    enabled    INTEGER NOT NULL DEFAULT 1,
    extra      TEXT NOT NULL DEFAULT '{}',
    created_at INTEGER NOT NULL,
    updated_at INTEGER,
    revision   INTEGER NOT NULL DEFAULT 1
);
CREATE INDEX endpoint_service ON endpoint (service_id);

-- What Pileus itself has put into the catalog, so that what an admin takes out stays out.
CREATE TABLE catalog_entry (
    name  TEXT PRIMARY KEY,   -- a service's type, or 'region'
    value TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;

CREATE TABLE endpoint_group (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    description TEXT,
    filters     TEXT NOT NULL,   -- JSON object: interface, service_id, region_id
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER,
    revision    INTEGER NOT NULL DEFAULT 1
);

-- Which endpoints a project sees; a project in none of these sees all.
CREATE TABLE endpoint_project (
    project_id TEXT NOT NULL,
    kind       TEXT NOT NULL,    -- endpoint or group
    target_id  TEXT NOT NULL,    -- the endpoint's or the endpoint group's id
    PRIMARY KEY (project_id, kind, target_id)
) WITHOUT ROWID;

CREATE TABLE policy (
    id         TEXT PRIMARY KEY,
    type       TEXT NOT NULL,
    blob       TEXT NOT NULL,
    extra      TEXT NOT NULL DEFAULT '{}',
    created_at INTEGER NOT NULL,
    updated_at INTEGER,
    revision   INTEGER NOT NULL DEFAULT 1
);

CREATE TABLE policy_association (
    policy_id   TEXT NOT NULL,
    endpoint_id TEXT NOT NULL DEFAULT '',
    service_id  TEXT NOT NULL DEFAULT '',
    region_id   TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (endpoint_id, service_id, region_id)
) WITHOUT ROWID;

-- OAuth 1.0a: a consumer asks for a request token, a user authorizes it, the consumer gets an access token.
CREATE TABLE consumer (
    id          TEXT PRIMARY KEY,
    description TEXT,
    secret      TEXT NOT NULL,   -- a Fernet token
    extra       TEXT NOT NULL DEFAULT '{}',
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER,
    revision    INTEGER NOT NULL DEFAULT 1
);

CREATE TABLE oauth_token (
    id          TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,   -- request or access
    consumer_id TEXT NOT NULL,
    secret      TEXT NOT NULL,   -- a Fernet token
    user_id     TEXT,            -- who has authorized it
    project_id  TEXT NOT NULL,
    roles       TEXT NOT NULL DEFAULT '[]',  -- JSON list of role ids
    verifier    TEXT,            -- of a request token that is authorized
    expires_at  INTEGER
);
CREATE INDEX oauth_token_user ON oauth_token (user_id);

CREATE TABLE domain_config (
    domain_id    TEXT NOT NULL,
    config_group TEXT NOT NULL,
    name         TEXT NOT NULL,
    value        TEXT NOT NULL,  -- JSON; a Fernet token where `secret`
    secret       INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (domain_id, config_group, name)
) WITHOUT ROWID;

CREATE TABLE registered_limit (
    id            TEXT PRIMARY KEY,
    service_id    TEXT NOT NULL,
    region_id     TEXT,
    resource_name TEXT NOT NULL,
    default_limit INTEGER NOT NULL,
    description   TEXT,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER,
    revision    INTEGER NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX registered_limit_same ON registered_limit (service_id, ifnull(region_id, ''), resource_name);

CREATE TABLE project_limit (
    id             TEXT PRIMARY KEY,
    project_id     TEXT,
    domain_id      TEXT,
    service_id     TEXT NOT NULL,
    region_id      TEXT,
    resource_name  TEXT NOT NULL,
    resource_limit INTEGER NOT NULL,
    description    TEXT,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER,
    revision    INTEGER NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX project_limit_same
    ON project_limit (ifnull(project_id, ''), ifnull(domain_id, ''), service_id, ifnull(region_id, ''), resource_name);

-- Federation is kept, not practised: nobody signs in by it here.
CREATE TABLE identity_provider (
    id                TEXT PRIMARY KEY,   -- chosen by the admin
    domain_id         TEXT NOT NULL,
    description       TEXT,
    enabled           INTEGER NOT NULL DEFAULT 0,
    remote_ids        TEXT NOT NULL DEFAULT '[]',  -- JSON list
    authorization_ttl INTEGER,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER,
    revision    INTEGER NOT NULL DEFAULT 1
);

CREATE TABLE mapping (
    id             TEXT PRIMARY KEY,
    rules          TEXT NOT NULL,   -- JSON list
    schema_version TEXT,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER,
    revision    INTEGER NOT NULL DEFAULT 1
);

CREATE TABLE federation_protocol (
    id                  TEXT NOT NULL,
    identity_provider   TEXT NOT NULL,
    mapping_id          TEXT NOT NULL,
    remote_id_attribute TEXT,
    PRIMARY KEY (identity_provider, id)
) WITHOUT ROWID;

CREATE TABLE service_provider (
    id                 TEXT PRIMARY KEY,
    auth_url           TEXT NOT NULL,
    sp_url             TEXT NOT NULL,
    description        TEXT,
    enabled            INTEGER NOT NULL DEFAULT 0,
    relay_state_prefix TEXT NOT NULL DEFAULT 'ss:mem:',
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER,
    revision    INTEGER NOT NULL DEFAULT 1
);

-- Who did what to identities, and who was refused. The oldest lines go when there are too many.
CREATE TABLE audit_event (
    id          INTEGER PRIMARY KEY,
    created_at  INTEGER NOT NULL,
    event_type  TEXT NOT NULL,           -- identity.<noun>.<verb>, as Keystone's notifications are called
    outcome     TEXT NOT NULL,           -- success or failure
    reason      TEXT,                    -- of a failure
    user_id     TEXT NOT NULL DEFAULT '',  -- who asked
    project_id  TEXT NOT NULL DEFAULT '',  -- and for which project
    target_type TEXT NOT NULL,
    target_id   TEXT NOT NULL DEFAULT '',
    request_id  TEXT NOT NULL DEFAULT ''
);
CREATE INDEX audit_event_user ON audit_event (user_id, id);
CREATE INDEX audit_event_target ON audit_event (target_id, id);
