-- Foreign keys are off while migrations run: dropping a table deletes its rows, and would cascade.
-- Ids that are never given twice need AUTOINCREMENT, which only a new table can have.

DROP TRIGGER transcript_of_nobody;

CREATE TABLE new_user (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid          TEXT    NOT NULL UNIQUE CHECK (length(uuid) = 32),
    username      TEXT    NOT NULL UNIQUE COLLATE NOCASE,
    password_hash TEXT    NOT NULL,
    is_admin      INTEGER NOT NULL DEFAULT 0 CHECK (is_admin IN (0, 1)),
    registered_at INTEGER NOT NULL,
    token_balance INTEGER NOT NULL DEFAULT 0 CHECK (token_balance >= 0),
    price_micros  INTEGER NOT NULL DEFAULT 1000000 CHECK (price_micros BETWEEN 0 AND 1000000000),
    avatar_uuid   TEXT    UNIQUE CHECK (length(avatar_uuid) = 32)
) STRICT;
INSERT INTO new_user (
    id, uuid, username, password_hash, is_admin, registered_at, token_balance, price_micros,
    avatar_uuid
) SELECT
    id, uuid, username, password_hash, is_admin, registered_at, token_balance, price_micros,
    avatar_uuid
FROM user;
DROP TABLE user;
ALTER TABLE new_user RENAME TO user;
CREATE INDEX user_by_is_admin ON user (is_admin);

CREATE TABLE new_session (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid       TEXT    NOT NULL UNIQUE CHECK (length(uuid) = 32),
    user_id    INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    started_at INTEGER NOT NULL,
    user_agent TEXT    NOT NULL
) STRICT;
INSERT INTO new_session (
    id, uuid, user_id, started_at, user_agent
) SELECT
    id, uuid, user_id, started_at, user_agent
FROM session;
DROP TABLE session;
ALTER TABLE new_session RENAME TO session;
CREATE INDEX session_by_user ON session (user_id, started_at);

CREATE TABLE new_api_token (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid       TEXT    NOT NULL UNIQUE CHECK (length(uuid) = 32),
    user_id    INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    name       TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    key_hash   TEXT    NOT NULL UNIQUE,
    key_start  TEXT    NOT NULL,
    key_end    TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
INSERT INTO new_api_token (
    id, uuid, user_id, name, key_hash, key_start, key_end, created_at
) SELECT
    id, uuid, user_id, name, key_hash, key_start, key_end, created_at
FROM api_token;
DROP TABLE api_token;
ALTER TABLE new_api_token RENAME TO api_token;
CREATE INDEX api_token_by_user ON api_token (user_id);

CREATE TABLE new_file (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid         TEXT    NOT NULL UNIQUE CHECK (length(uuid) = 32),
    user_id      INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    hash         TEXT    NOT NULL CHECK (length(hash) = 64),
    filename     TEXT    NOT NULL,
    kind         TEXT    NOT NULL CHECK (kind IN ('audio', 'video')),
    status       TEXT    NOT NULL CHECK (status IN ('converting', 'ready', 'failed')),
    error        TEXT,
    content_type TEXT    NOT NULL,
    size_bytes   INTEGER NOT NULL CHECK (size_bytes > 0),
    samples      INTEGER CHECK (samples > 0),
    claimed_seconds INTEGER,
    uploaded_at  INTEGER NOT NULL,
    UNIQUE (user_id, hash),
    CHECK ((status = 'failed') = (error IS NOT NULL)),
    CHECK (status != 'ready' OR samples IS NOT NULL)
) STRICT;
INSERT INTO new_file (
    id, uuid, user_id, hash, filename, kind, status, error, content_type, size_bytes, samples,
    uploaded_at
) SELECT
    id, uuid, user_id, hash, filename, kind, status, error, content_type, size_bytes, samples,
    uploaded_at
FROM file;
DROP TABLE file;
ALTER TABLE new_file RENAME TO file;
CREATE INDEX file_by_user ON file (user_id, uploaded_at, size_bytes, samples);
CREATE INDEX file_of_user ON file (user_id);
CREATE INDEX file_by_status ON file (status, samples);

CREATE TABLE new_transcript (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    file_uuid     TEXT    NOT NULL,
    model         TEXT    NOT NULL,
    model_version TEXT    NOT NULL,
    language      TEXT    NOT NULL,
    data          TEXT    NOT NULL,
    options       TEXT    NOT NULL DEFAULT ''
) STRICT;
INSERT INTO new_transcript (
    id, file_uuid, model, model_version, language, data, options
) SELECT
    id, file_uuid, model, model_version, language, data, options
FROM transcript;
DROP TABLE transcript;
ALTER TABLE new_transcript RENAME TO transcript;
CREATE INDEX transcript_of_what
ON transcript (file_uuid, model, model_version, language, options);

CREATE TABLE new_transcription (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid          TEXT    NOT NULL UNIQUE CHECK (length(uuid) = 32),
    user_id       INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    file_uuid     TEXT    NOT NULL,
    model         TEXT    NOT NULL,
    model_version TEXT    NOT NULL,
    language      TEXT    NOT NULL,
    format        TEXT    NOT NULL,
    status        TEXT    NOT NULL DEFAULT 'pending'
                  CHECK (status IN ('pending', 'processing', 'completed', 'failed')),
    error         TEXT,
    created_at    INTEGER NOT NULL,
    processed_at  INTEGER NOT NULL DEFAULT 0,
    attempts      INTEGER NOT NULL DEFAULT 0,
    idle_starts   INTEGER NOT NULL DEFAULT 0,
    claim         TEXT,
    samples       INTEGER,
    speech_samples INTEGER CHECK (speech_samples > 0),
    transcript_id INTEGER REFERENCES transcript (id),
    options       TEXT    NOT NULL DEFAULT '',
    CHECK ((status = 'failed') = (error IS NOT NULL)),
    CHECK ((status = 'completed') = (transcript_id IS NOT NULL)),
    CHECK (status != 'processing' OR claim IS NOT NULL)
) STRICT;
INSERT INTO new_transcription (
    id, uuid, user_id, file_uuid, model, model_version, language, format, status, error,
    created_at, processed_at, attempts, claim, samples, transcript_id, options
) SELECT
    id, uuid, user_id, file_uuid, model, model_version, language, format, status, error,
    created_at, processed_at, attempts, claim, samples, transcript_id, options
FROM transcription;
DROP TABLE transcription;
ALTER TABLE new_transcription RENAME TO transcription;
CREATE INDEX transcription_by_status ON transcription (status, id, file_uuid);
CREATE INDEX transcription_by_status_and_user ON transcription (status, user_id);
CREATE INDEX transcription_by_file ON transcription (file_uuid, id);
CREATE INDEX transcription_by_file_and_status ON transcription (file_uuid, status);
CREATE INDEX transcription_by_claim ON transcription (claim);
CREATE INDEX transcription_by_user ON transcription (user_id, created_at, status, samples);
CREATE INDEX transcription_by_transcript ON transcription (transcript_id);

CREATE TABLE new_ledger (
    user_id INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    subject TEXT    NOT NULL,
    claim   TEXT    NOT NULL,
    kind    TEXT    NOT NULL CHECK (kind IN ('grant', 'charge', 'refund', 'settled')),
    amount  INTEGER NOT NULL CHECK (CASE kind WHEN 'charge' THEN amount <= 0
                                              WHEN 'refund' THEN amount >= 0
                                              WHEN 'settled' THEN amount = 0 ELSE 1 END),
    at      INTEGER NOT NULL,
    PRIMARY KEY (subject, claim, kind)
) STRICT, WITHOUT ROWID;
INSERT INTO new_ledger (
    user_id, subject, claim, kind, amount, at
) SELECT
    user_id, subject, claim, kind, amount, at
FROM ledger;
DROP TABLE ledger;
ALTER TABLE new_ledger RENAME TO ledger;
CREATE INDEX ledger_by_user ON ledger (user_id, amount);

CREATE TRIGGER transcript_of_nobody AFTER DELETE ON transcription
WHEN OLD.transcript_id IS NOT NULL
BEGIN
    DELETE FROM transcript WHERE id = OLD.transcript_id
    AND NOT EXISTS (SELECT 1 FROM transcription WHERE transcript_id = OLD.transcript_id);
END;

ALTER TABLE partial RENAME TO checkpoint;

-- Attempts counted interrupted runs of any kind; only those in which the engine failed count now.
UPDATE transcription SET attempts = 0 WHERE status IN ('pending', 'processing');
