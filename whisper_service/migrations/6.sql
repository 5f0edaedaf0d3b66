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
