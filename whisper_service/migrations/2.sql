DROP INDEX file_by_status;
CREATE INDEX file_by_status ON file (status, samples);
-- The first databases of version 1 lack these.
CREATE INDEX IF NOT EXISTS file_of_user ON file (user_id);
CREATE INDEX IF NOT EXISTS transcription_by_status_and_user ON transcription (status, user_id);

ALTER TABLE transcript ADD COLUMN options TEXT NOT NULL DEFAULT '';
DROP INDEX transcript_of_what;
CREATE INDEX transcript_of_what
ON transcript (file_uuid, model, model_version, language, options);

ALTER TABLE transcription ADD COLUMN options TEXT NOT NULL DEFAULT '';

-- What was done of unfinished transcripts is done again.
DROP TABLE partial;
CREATE TABLE partial (
    file_uuid     TEXT    NOT NULL REFERENCES file (uuid) ON DELETE CASCADE,
    model         TEXT    NOT NULL,
    model_version TEXT    NOT NULL,
    language      TEXT    NOT NULL,
    options       TEXT    NOT NULL,
    start         INTEGER NOT NULL,
    stop          INTEGER NOT NULL,
    data          TEXT    NOT NULL,
    PRIMARY KEY (file_uuid, model, model_version, language, options, start, stop)
) STRICT, WITHOUT ROWID;
