"""The search through a user's transcripts."""

from dataclasses import dataclass

from whisper_service.db import database
from whisper_service.pagination import Page
from whisper_service.tables import File, Searchable, Transcription
from whisper_service.transcripts import search_words

MATCHING = "FROM segment_search WHERE segment_search MATCH ?"


@dataclass(frozen=True)
class Hit:
    """A segment that was found. `matches` are ranges of its text, `start` and `end` seconds."""

    transcription: Transcription
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
    query = search_words.query(owner, searched)
    ((total,),) = database.execute_sql(f"SELECT count(*) {MATCHING}", (query,))  # type: ignore[no-untyped-call]
    rows = database.execute_sql(  # type: ignore[no-untyped-call]
        f"SELECT rowid, text, start, end {MATCHING} ORDER BY rank, rowid DESC LIMIT ? OFFSET ?",
        (query, limit, (number - 1) * limit),
    ).fetchall()
    phrases = search_words.phrases(searched)
    hits = []
    for row, text, start, end in rows:
        if found := _shown(row):
            transcription, segment = found
            matches = search_words.matches(text, phrases)
            name = _filename(transcription)
            hits.append(Hit(transcription, name, segment, start, end, text, matches))
    return Page(hits, number, limit, total)


def _shown(row: int) -> tuple[Transcription, int] | None:
    """Return the newest transcription that shows an indexed segment, and the segment's number.

    None if it was deleted since it was found.
    """
    before = Searchable.select().where(Searchable.first_row <= row)
    of = before.order_by(Searchable.first_row.desc()).first()
    if of is None or row > of.last_row:
        return None
    shows = (
        (Transcription.id == of.correction_of)
        if of.correction_of
        else (Transcription.transcript_id == of.transcript_id) & (Transcription.revision == 0)
    )
    newest = Transcription.select().where(shows).order_by(Transcription.id.desc()).first()
    return (newest, row - of.first_row) if newest else None


def _filename(transcription: Transcription) -> str | None:
    """Return the name of the recording; None if it was deleted."""
    file = File.get_or_none(File.uuid == transcription.file_uuid)
    return file.filename if file else None
