-- Transcripts can be corrected, and are searched. `search_words` is a function of the service.

ALTER TABLE transcription
ADD COLUMN revision INTEGER NOT NULL DEFAULT 0;

CREATE INDEX transcription_of_user ON transcription (user_id);

CREATE TABLE correction (
    transcription_id INTEGER NOT NULL PRIMARY KEY REFERENCES transcription (id) ON DELETE CASCADE,
    data TEXT NOT NULL
) STRICT;

CREATE TABLE searchable (
    first_row     INTEGER NOT NULL PRIMARY KEY,
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

INSERT INTO searchable (transcript_id, first_row, last_row)
SELECT id, 1 + sum(segments) OVER before - segments, sum(segments) OVER before
FROM (SELECT id, json_array_length(data, '$.segments') AS segments FROM transcript)
WHERE segments > 0
WINDOW before AS (ORDER BY id);

INSERT INTO segment_search (rowid, words, text, start, end)
SELECT
    searchable.first_row + segment.key,
    search_words(
        (SELECT user_id FROM transcription WHERE transcript_id = transcript.id),
        json_extract(segment.value, '$.text')
    ),
    json_extract(segment.value, '$.text'),
    json_extract(segment.value, '$.start'),
    json_extract(segment.value, '$.end')
FROM searchable
JOIN transcript ON transcript.id = searchable.transcript_id
JOIN json_each(transcript.data, '$.segments') AS segment;
