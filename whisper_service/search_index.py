"""The index by which transcripts are searched: the words of all segments.

By triggers of the schema, what is deleted or corrected is no longer searchable, and waits for
`remove_deleted`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from whisper_service.db import database
from whisper_service.tables import Searchable, Unsearchable
from whisper_service.transcripts import search_words
from whisper_service.transcripts.transcript import Transcript

# The segments of 24 hours of speech, and more; removing them takes a second.
MAX_REMOVED = 30_000


@dataclass(frozen=True)
class Entry:
    """A segment as it is indexed for its owner."""

    words: str
    text: str
    start: float
    end: float


def entries(owner: int, transcript: Transcript) -> list[Entry]:
    """Return what `add` takes; for many hours that takes a second, and needs no lock."""
    return [
        Entry(search_words.indexed(owner, each.text), each.text, each.start, each.end)
        for each in transcript.segments
    ]


def add(
    new: Sequence[Entry], *, transcript_id: int | None = None, correction_of: int | None = None
) -> None:
    """Index a transcript or a transcription's correction, in the transaction that stores it."""
    if not new:
        return
    last = max(_last_row(Searchable), _last_row(Unsearchable))
    Searchable.create(
        transcript_id=transcript_id,
        correction_of=correction_of,
        first_row=last + 1,
        last_row=last + len(new),
    )
    database.connection().executemany(  # type: ignore[no-untyped-call]
        "INSERT INTO segment_search (rowid, words, text, start, end) VALUES (?, ?, ?, ?, ?)",
        (
            (row, each.words, each.text, each.start, each.end)
            for row, each in enumerate(new, start=last + 1)
        ),
    )


def remove_deleted() -> int:
    """Remove what is no longer searchable, some of it at a time; return the number of segments.

    Runs in the transaction that deletes or corrects a transcription, for which it is enough.
    """
    removed = 0
    for row in Unsearchable.select().order_by(Unsearchable.first_row).limit(MAX_REMOVED):
        last = min(row.last_row, row.first_row + MAX_REMOVED - removed - 1)
        database.execute_sql(  # type: ignore[no-untyped-call]
            "DELETE FROM segment_search WHERE rowid BETWEEN ? AND ?", (row.first_row, last)
        )
        Unsearchable.delete().where(Unsearchable.first_row == row.first_row).execute()
        removed += last - row.first_row + 1
        if last < row.last_row:
            Unsearchable.create(first_row=last + 1, last_row=row.last_row)
        if removed == MAX_REMOVED:
            break
    return removed


def _last_row(table: type[Searchable] | type[Unsearchable]) -> int:
    newest = table.select().order_by(table.first_row.desc()).first()
    return newest.last_row if newest else 0
