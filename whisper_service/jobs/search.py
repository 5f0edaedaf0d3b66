"""The search through a user's transcripts."""

from dataclasses import dataclass

from whisper_service.db import database
from whisper_service.pagination import Page
from whisper_service.transcripts import search_words

COUNT = "SELECT count(*) FROM segment_search WHERE segment_search MATCH ?"
# A transcript that several transcriptions show is found in the newest.
HITS = """
WITH hit AS (
    SELECT rowid AS row, rank AS score, text, start, end FROM segment_search
    WHERE segment_search MATCH ? ORDER BY rank, rowid DESC LIMIT ? OFFSET ?
)
SELECT transcription.uuid, transcription.file_uuid, file.filename,
    hit.row - searchable.first_row, hit.start, hit.end, hit.text
FROM hit
JOIN searchable ON searchable.first_row = (
    SELECT max(first_row) FROM searchable WHERE first_row <= hit.row
) AND hit.row <= searchable.last_row
JOIN transcription ON transcription.id = coalesce(searchable.correction_of, (
    SELECT max(id) FROM transcription
    WHERE transcript_id = searchable.transcript_id AND revision = 0
))
LEFT JOIN file ON file.uuid = transcription.file_uuid
ORDER BY hit.score, hit.row DESC
"""


@dataclass(frozen=True)
class Hit:
    """A segment that was found. `segment` is its number, `start` and `end` are seconds.

    `filename` is None if the recording was deleted. `matches` are ranges of the text.
    """

    transcription_uuid: str
    file_uuid: str
    filename: str | None
    segment: int
    start: float
    end: float
    text: str
    matches: list[tuple[int, int]]


def find(owner: int, searched: str, number: int, limit: int) -> Page[Hit]:
    """Return a page of the segments that match, best first, then newest.

    `searched` is what somebody typed into a search box.
    """
    query, phrases = search_words.query(owner, searched), search_words.phrases(searched)
    ((total,),) = database.execute_sql(COUNT, (query,))  # type: ignore[no-untyped-call]
    rows = database.execute_sql(HITS, (query, limit, (number - 1) * limit))  # type: ignore[no-untyped-call]
    hits = [
        Hit(uuid, file, name, segment, start, end, text, search_words.matches(text, phrases))
        for uuid, file, name, segment, start, end, text in rows
    ]
    return Page(hits, number, limit, total)
