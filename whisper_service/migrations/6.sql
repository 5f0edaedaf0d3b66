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
