-- Times are whole seconds since 1970 in UTC. Public identifiers are 32 lower-case hex digits (UUIDv7).
-- AUTOINCREMENT: requests and workers hold ids outside of transactions, and SQLite would otherwise
-- reuse the id of a deleted row.

CREATE TABLE user (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid          TEXT    NOT NULL UNIQUE CHECK (length(uuid) = 32),
    username      TEXT    NOT NULL UNIQUE COLLATE NOCASE,
    password_hash TEXT    NOT NULL,
    is_admin      INTEGER NOT NULL DEFAULT 0 CHECK (is_admin IN (0, 1)),
    registered_at INTEGER NOT NULL,
    token_balance INTEGER NOT NULL DEFAULT 0 CHECK (token_balance >= 0),
    -- millionths of a token for one second of audio, so that every price is exact
    price_micros  INTEGER NOT NULL DEFAULT 1000000 CHECK (price_micros BETWEEN 0 AND 1000000000),
    avatar_uuid   TEXT    UNIQUE CHECK (length(avatar_uuid) = 32)
) STRICT;
CREATE INDEX user_by_is_admin ON user (is_admin);

CREATE TABLE session (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid       TEXT    NOT NULL UNIQUE CHECK (length(uuid) = 32),
    user_id    INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    started_at INTEGER NOT NULL,
    user_agent TEXT    NOT NULL
) STRICT;
CREATE INDEX session_by_user ON session (user_id, started_at);

CREATE TABLE api_token (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid       TEXT    NOT NULL UNIQUE CHECK (length(uuid) = 32),
    user_id    INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    name       TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
    key_hash   TEXT    NOT NULL UNIQUE,
    key_start  TEXT    NOT NULL,
    key_end    TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX api_token_by_user ON api_token (user_id);

CREATE TABLE file (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid         TEXT    NOT NULL UNIQUE CHECK (length(uuid) = 32),
    user_id      INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    hash         TEXT    NOT NULL CHECK (length(hash) = 64), -- BLAKE3 of the uploaded bytes
    filename     TEXT    NOT NULL,
    kind         TEXT    NOT NULL CHECK (kind IN ('audio', 'video')),
    status       TEXT    NOT NULL CHECK (status IN ('converting', 'ready', 'failed')),
    error        TEXT,
    content_type TEXT    NOT NULL,                           -- of what a download returns
    size_bytes   INTEGER NOT NULL CHECK (size_bytes > 0),    -- of what a download returns
    samples      INTEGER CHECK (samples > 0),                -- of the WAV, at 16 kHz
    claimed_seconds INTEGER,                                 -- what the container claims, if anything
    uploaded_at  INTEGER NOT NULL,
    UNIQUE (user_id, hash),
    CHECK ((status = 'failed') = (error IS NOT NULL)),
    CHECK (status != 'ready' OR samples IS NOT NULL)
) STRICT;
CREATE INDEX file_by_user ON file (user_id, uploaded_at, size_bytes, samples);
CREATE INDEX file_of_user ON file (user_id);
CREATE INDEX file_by_status ON file (status, samples);

-- Transcripts, stored once for all formats and rendered when they are read.
CREATE TABLE transcript (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    file_uuid     TEXT    NOT NULL,
    model         TEXT    NOT NULL,
    model_version TEXT    NOT NULL,                -- differs for each file under the same name
    language      TEXT    NOT NULL,                -- as requested
    data          TEXT    NOT NULL,                -- JSON
    options       TEXT    NOT NULL DEFAULT ''      -- JSON of further options, '' for none
) STRICT;
CREATE INDEX transcript_of_what
ON transcript (file_uuid, model, model_version, language, options);

-- Transcribed chunks of an unfinished transcript, from which the next run continues.
CREATE TABLE checkpoint (
    file_uuid     TEXT    NOT NULL REFERENCES file (uuid) ON DELETE CASCADE,
    model         TEXT    NOT NULL,
    model_version TEXT    NOT NULL,
    language      TEXT    NOT NULL,
    options       TEXT    NOT NULL,
    start         INTEGER NOT NULL,                -- samples, at 16 kHz
    stop          INTEGER NOT NULL,
    data          TEXT    NOT NULL,                -- JSON
    PRIMARY KEY (file_uuid, model, model_version, language, options, start, stop)
) STRICT, WITHOUT ROWID;

CREATE TABLE transcription (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid          TEXT    NOT NULL UNIQUE CHECK (length(uuid) = 32),
    user_id       INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    file_uuid     TEXT    NOT NULL,                -- a finished transcription outlives its file
    model         TEXT    NOT NULL,
    model_version TEXT    NOT NULL,
    language      TEXT    NOT NULL,                -- as requested: 'auto' or an ISO 639-1 code
    format        TEXT    NOT NULL,
    status        TEXT    NOT NULL DEFAULT 'pending'
                  CHECK (status IN ('pending', 'processing', 'completed', 'failed')),
    error         TEXT,
    created_at    INTEGER NOT NULL,
    processed_at  INTEGER NOT NULL DEFAULT 0,      -- 0 until completed
    attempts      INTEGER NOT NULL DEFAULT 0,      -- runs in which the engine crashed or hung
    idle_starts   INTEGER NOT NULL DEFAULT 0,      -- service ends since the last checkpoint
    claim         TEXT,                            -- the run that it is or was part of
    samples       INTEGER,                         -- of audio, at 16 kHz, known when claimed
    speech_samples INTEGER CHECK (speech_samples > 0), -- of all chunks of the run, once planned
    transcript_id INTEGER REFERENCES transcript (id),
    options       TEXT    NOT NULL DEFAULT '',     -- as those of a transcript
    error_code    TEXT    CHECK (error_code IS NULL OR error IS NOT NULL), -- if it has one
    revision      INTEGER NOT NULL DEFAULT 0,      -- how often its transcript was corrected
    CHECK ((status = 'failed') = (error IS NOT NULL)),
    CHECK ((status = 'completed') = (transcript_id IS NOT NULL)),
    CHECK (status != 'processing' OR claim IS NOT NULL)
) STRICT;
CREATE INDEX transcription_by_status ON transcription (status, id, file_uuid);
CREATE INDEX transcription_by_status_and_user ON transcription (status, user_id);
CREATE INDEX transcription_by_file ON transcription (file_uuid, id);
CREATE INDEX transcription_by_file_and_status ON transcription (file_uuid, status);
CREATE INDEX transcription_by_claim ON transcription (claim);
CREATE INDEX transcription_by_user ON transcription (user_id, created_at, status, samples);
CREATE INDEX transcription_of_user ON transcription (user_id);
CREATE INDEX transcription_by_transcript ON transcription (transcript_id);
CREATE TRIGGER transcript_of_nobody AFTER DELETE ON transcription
WHEN OLD.transcript_id IS NOT NULL
BEGIN
    DELETE FROM transcript WHERE id = OLD.transcript_id
    AND NOT EXISTS (SELECT 1 FROM transcription WHERE transcript_id = OLD.transcript_id);
END;

-- The transcript of one transcription as its owner corrected it.
CREATE TABLE correction (
    transcription_id INTEGER NOT NULL PRIMARY KEY REFERENCES transcription (id) ON DELETE CASCADE,
    data TEXT NOT NULL                             -- JSON, as that of a transcript
) STRICT;

-- The words of all segments: of each transcript that is shown as it is, and of each correction.
CREATE TABLE searchable (
    first_row     INTEGER NOT NULL PRIMARY KEY,    -- its segments' rows in segment_search
    last_row      INTEGER NOT NULL,
    transcript_id INTEGER UNIQUE REFERENCES transcript (id) ON DELETE CASCADE,
    correction_of INTEGER UNIQUE REFERENCES correction (transcription_id) ON DELETE CASCADE,
    CHECK ((transcript_id IS NULL) != (correction_of IS NULL))
) STRICT;
CREATE VIRTUAL TABLE segment_search
USING fts5 (
    words, text UNINDEXED, start UNINDEXED, end UNINDEXED, -- seconds
    tokenize = "unicode61 remove_diacritics 2 categories 'L* N* Co M*'"
);
-- Rows of segment_search that are to be deleted. A trigger may not: SQLite takes virtual tables for
-- unsafe there as long as it does not trust the schema.
CREATE TABLE unsearchable (
    first_row INTEGER NOT NULL PRIMARY KEY,
    last_row  INTEGER NOT NULL
) STRICT;
CREATE TRIGGER searched_no_more AFTER DELETE ON searchable
BEGIN
    INSERT INTO unsearchable (first_row, last_row) VALUES (OLD.first_row, OLD.last_row);
END;
CREATE TRIGGER searched_as_corrected AFTER UPDATE OF revision ON transcription
BEGIN
    DELETE FROM searchable WHERE transcript_id = OLD.transcript_id
    AND NOT EXISTS (
        SELECT 1 FROM transcription WHERE transcript_id = OLD.transcript_id AND revision = 0
    );
END;
CREATE TRIGGER searched_until_deleted AFTER DELETE ON transcription
BEGIN
    DELETE FROM searchable WHERE transcript_id = OLD.transcript_id
    AND NOT EXISTS (
        SELECT 1 FROM transcription WHERE transcript_id = OLD.transcript_id AND revision = 0
    );
END;

-- Every change of a balance. The primary key prevents a second charge or refund of one run. A run is
-- settled when an administrator sets the balance meanwhile: then it is not refunded.
CREATE TABLE ledger (
    user_id INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    subject TEXT    NOT NULL,                      -- a transcription's uuid, or the grant's own
    claim   TEXT    NOT NULL,                      -- the run that was paid for; '' for a grant
    kind    TEXT    NOT NULL CHECK (kind IN ('grant', 'charge', 'refund', 'settled')),
    amount  INTEGER NOT NULL CHECK (CASE kind WHEN 'charge' THEN amount <= 0
                                              WHEN 'refund' THEN amount >= 0
                                              WHEN 'settled' THEN amount = 0 ELSE 1 END),
    at      INTEGER NOT NULL,
    PRIMARY KEY (subject, claim, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX ledger_by_user ON ledger (user_id, amount);

-- What became of each recording in the watched folder. The path, relative to it, need not be UTF-8.
CREATE TABLE watched (
    path       BLOB    NOT NULL PRIMARY KEY,
    size       INTEGER NOT NULL,                   -- with this size and time of its last change
    mtime_ns   INTEGER NOT NULL,
    file_uuid  TEXT,                               -- NULL until it is uploaded
    transcription_uuid TEXT,                       -- NULL until it is queued
    error      TEXT,                               -- what was logged last
    is_done    INTEGER NOT NULL DEFAULT 0 CHECK (is_done IN (0, 1)), -- until it changes
    results    TEXT    NOT NULL DEFAULT ''         -- BLAKE3 of each result that the service wrote
) STRICT, WITHOUT ROWID;

-- Resumable uploads. Their bytes are in uploads/ until one ends as a file or with an error, which is
-- remembered until it expires.
CREATE TABLE upload (
    uuid       TEXT    NOT NULL PRIMARY KEY CHECK (length(uuid) = 32),
    user_id    INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    metadata   TEXT    NOT NULL,                   -- as the client sent it
    filename   TEXT    NOT NULL,
    size_bytes INTEGER NOT NULL CHECK (size_bytes > 0),
    expires_at INTEGER NOT NULL,                   -- later for an unfinished one that got bytes
    file_uuid  TEXT    REFERENCES file (uuid) ON DELETE CASCADE,
    existed    INTEGER CHECK (existed IN (0, 1)),  -- whether the user had the file before
    error      TEXT,
    error_code TEXT,
    CHECK ((file_uuid IS NULL) = (existed IS NULL)),
    CHECK ((error IS NULL) = (error_code IS NULL)),
    CHECK (file_uuid IS NULL OR error IS NULL)
) STRICT, WITHOUT ROWID;
CREATE INDEX upload_by_user ON upload (user_id);
CREATE INDEX upload_by_file ON upload (file_uuid);
CREATE INDEX upload_by_expiry ON upload (expires_at);

-- Webhooks: URLs that are called when transcriptions of their users have ended.
CREATE TABLE webhook_endpoint (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid          TEXT    NOT NULL UNIQUE CHECK (length(uuid) = 32),
    user_id       INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,
    url           TEXT    NOT NULL,
    secret        TEXT    NOT NULL,                -- signs, so it is stored as it is
    old_secrets   TEXT    NOT NULL DEFAULT '[]',   -- JSON of [secret, until when it signs along]
    created_at    INTEGER NOT NULL,
    disabled_reason TEXT  CHECK (disabled_reason IN ('owner', 'gone', 'failing')), -- NULL: enabled
    failing_since INTEGER NOT NULL DEFAULT 0,      -- its first failure since a success; 0: none
    waiting       INTEGER NOT NULL DEFAULT 0 CHECK (waiting >= 0), -- its rows in webhook_message
    turn          INTEGER NOT NULL DEFAULT 0,      -- its user's last turn, ms since 1970; 1 more if its own
    UNIQUE (user_id, url)
) STRICT;
CREATE INDEX webhook_endpoint_by_turn ON webhook_endpoint (turn)
WHERE waiting > 0 AND disabled_reason IS NULL;

-- Messages that are not delivered yet: each is written in the transaction that ends a transcription.
CREATE TABLE webhook_message (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    uuid        TEXT    NOT NULL CHECK (length(uuid) = 32), -- stays the same in every attempt
    endpoint_id INTEGER NOT NULL REFERENCES webhook_endpoint (id) ON DELETE CASCADE,
    type        TEXT    NOT NULL,
    transcription_uuid TEXT,                       -- as these, NULL for a test
    file_uuid   TEXT,
    format      TEXT,
    model       TEXT,
    error_code  TEXT,
    created_at  INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,                  -- when it is tried next
    attempts    INTEGER NOT NULL DEFAULT 0         -- that failed
) STRICT;
CREATE INDEX webhook_message_by_endpoint ON webhook_message (endpoint_id, due_at);
-- Also while webhooks are switched off, when nothing is delivered: hence the limit.
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

-- The last attempts of each endpoint, for its owner to see.
CREATE TABLE webhook_attempt (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    endpoint_id  INTEGER NOT NULL REFERENCES webhook_endpoint (id) ON DELETE CASCADE,
    message_uuid TEXT    NOT NULL,
    type         TEXT    NOT NULL,
    transcription_uuid TEXT,                       -- NULL for a test
    number       INTEGER NOT NULL,                 -- 1 for a message's first
    at           INTEGER NOT NULL,
    http_status  INTEGER,                          -- NULL without an answer
    error        TEXT,                             -- why there is none
    next_at      INTEGER NOT NULL,                 -- of the next one; 0: there is none
    CHECK ((http_status IS NULL) != (error IS NULL))
) STRICT;
CREATE INDEX webhook_attempt_by_endpoint ON webhook_attempt (endpoint_id, id);

PRAGMA user_version = 6;
