-- What every service shares: tags, quotas, and the record of what was asked of a resource.

CREATE TABLE tag (
    resource_id TEXT NOT NULL,
    tag         TEXT NOT NULL,
    PRIMARY KEY (resource_id, tag)
) WITHOUT ROWID;

-- A limit that was set for a project; where there is no row the service's default holds.
CREATE TABLE quota (
    project_id TEXT NOT NULL,
    resource   TEXT NOT NULL,  -- e.g. instances, network, floatingip
    "limit"    INTEGER NOT NULL,  -- -1: none
    PRIMARY KEY (project_id, resource)
) WITHOUT ROWID;

-- One row for each verb asked of a resource: the log that os-instance-actions shows. The row is the operation: there is no table of jobs.
CREATE TABLE action_record (
    id          INTEGER PRIMARY KEY,
    resource_id TEXT NOT NULL,
    action      TEXT NOT NULL,  -- create, stop, reboot, ...
    request_id  TEXT NOT NULL,
    user_id     TEXT NOT NULL,
    project_id  TEXT NOT NULL,
    message     TEXT,           -- why it failed, or where in the queue it is
    started_at  INTEGER NOT NULL,
    updated_at  INTEGER,
    finished_at INTEGER,        -- null while under way
    result      TEXT            -- Success or Error
);
CREATE INDEX action_record_resource ON action_record (resource_id, id);
