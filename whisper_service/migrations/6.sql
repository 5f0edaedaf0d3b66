-- What other programs need: webhooks, resumable uploads, a watched folder.
CREATE TABLE watched (
    path       BLOB    NOT NULL PRIMARY KEY,
    size       INTEGER NOT NULL,
    mtime_ns   INTEGER NOT NULL,
    file_uuid  TEXT,
    transcription_uuid TEXT,
    error      TEXT,
    is_done    INTEGER NOT NULL DEFAULT 0 CHECK (is_done IN (0, 1)),
    results    TEXT    NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
CREATE TABLE upload (
    uuid       TEXT    NOT NULL PRIMARY KEY CHECK (length(uuid) = 32),
    user_id    INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    metadata   TEXT    NOT NULL,
    filename   TEXT    NOT NULL,
    size_bytes INTEGER NOT NULL CHECK (size_bytes > 0),
    expires_at INTEGER NOT NULL,
    file_uuid  TEXT    REFERENCES file (uuid) ON DELETE CASCADE,
    existed    INTEGER CHECK (existed IN (0, 1)),
    error      TEXT,
    error_code TEXT,
    CHECK ((file_uuid IS NULL) = (existed IS NULL)),
    CHECK ((error IS NULL) = (error_code IS NULL)),
    CHECK (file_uuid IS NULL OR error IS NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX upload_by_user ON upload (user_id);
CREATE INDEX upload_by_file ON upload (file_uuid);
CREATE INDEX upload_by_expiry ON upload (expires_at);

CREATE TABLE webhook_endpoint (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid          TEXT    NOT NULL UNIQUE CHECK (length(uuid) = 32),
    user_id       INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    url           TEXT    NOT NULL,
    secret        TEXT    NOT NULL,
    old_secrets   TEXT    NOT NULL DEFAULT '[]',
    created_at    INTEGER NOT NULL,
    disabled_reason TEXT  CHECK (disabled_reason IN ('owner', 'gone', 'failing')),
    failing_since INTEGER NOT NULL DEFAULT 0,
    waiting       INTEGER NOT NULL DEFAULT 0 CHECK (waiting >= 0),
    turn          INTEGER NOT NULL DEFAULT 0,
    UNIQUE (user_id, url)
) STRICT;
CREATE INDEX webhook_endpoint_by_turn ON webhook_endpoint (turn)
WHERE waiting > 0 AND disabled_reason IS NULL;
CREATE TABLE webhook_message (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid        TEXT    NOT NULL CHECK (length(uuid) = 32),
    endpoint_id INTEGER NOT NULL REFERENCES webhook_endpoint (id) ON DELETE CASCADE,
    type        TEXT    NOT NULL,
    transcription_uuid TEXT,
    file_uuid   TEXT,
    format      TEXT,
    model       TEXT,
    error_code  TEXT,
    created_at  INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,
    attempts    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX webhook_message_by_endpoint ON webhook_message (endpoint_id, due_at);
CREATE TRIGGER webhook_event AFTER UPDATE OF status ON transcription
WHEN NEW.status IN ('completed', 'failed') AND OLD.status NOT IN ('completed', 'failed')
BEGIN
    INSERT INTO webhook_message (
        uuid, endpoint_id, type, transcription_uuid, file_uuid, format, model, error_code,
        created_at, due_at
    )
    SELECT
        lower(hex(randomblob(16))), id, 'transcription.' || NEW.status,
        NEW.uuid, NEW.file_uuid, NEW.format, NEW.model, NEW.error_code,
        CAST(strftime('%s', 'now') AS INTEGER),
        CAST(strftime('%s', 'now') AS INTEGER)
    FROM webhook_endpoint
    WHERE user_id = NEW.user_id AND disabled_reason IS NULL AND waiting < 2000;
END;
CREATE TRIGGER webhook_message_added AFTER INSERT ON webhook_message
BEGIN
    UPDATE webhook_endpoint SET waiting = waiting + 1 WHERE id = NEW.endpoint_id;
END;
CREATE TRIGGER webhook_message_removed AFTER DELETE ON webhook_message
BEGIN
    UPDATE webhook_endpoint SET waiting = waiting - 1 WHERE id = OLD.endpoint_id;
END;
CREATE TABLE webhook_attempt (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    endpoint_id  INTEGER NOT NULL REFERENCES webhook_endpoint (id) ON DELETE CASCADE,
    message_uuid TEXT    NOT NULL,
    type         TEXT    NOT NULL,
    transcription_uuid TEXT,
    number       INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    http_status  INTEGER,
    error        TEXT,
    next_at      INTEGER NOT NULL,
    CHECK ((http_status IS NULL) != (error IS NULL))
) STRICT;
CREATE INDEX webhook_attempt_by_endpoint ON webhook_attempt (endpoint_id, id);
