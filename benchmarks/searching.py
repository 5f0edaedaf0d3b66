"""A search among the transcripts of 50 users, against one among the user's own alone."""

import random
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.report import elapsed, print_ratio
from tests.support.engine import segment
from tests.support.service import Api, in_process, settings_in
from whisper_service import db, ids, search_index
from whisper_service.db import write_transaction
from whisper_service.tables import StoredTranscript, Transcription, User
from whisper_service.transcript_key import TranscriptKey
from whisper_service.transcripts.transcript import Transcript

USERS, TRANSCRIPTS, SEGMENTS, WORDS = 50, 20, 100, 12
VOCABULARY = [f"{start}{end}" for start in "bcdfghklmnprst" for end in ("ar", "ell", "in", "osh")]
# The most frequent word, two words, the beginnings of many, a phrase, one or the other.
SEARCHES = ("bar", "bar cosh", "b*", '"bar bell"', "tosh OR bin", "bar -bell")
REPEATS = 40


def compare(models: Path, folder: Path, pairs: int) -> None:
    """Print the 95th percentile of searches: of 100,000 segments over 2,000."""
    rows = []
    with _filled(folder / "search-50", models, USERS) as many:
        others = [_p95(many) for _ in range(pairs)]
    with _filled(folder / "search-1", models, 1) as one:
        rows = list(zip(others, [_p95(one) for _ in range(pairs)], strict=True))
    print_ratio("search, p95, 100,000 segments over 2,000", rows, "1.2, 30 ms", " ms")


@contextmanager
def _filled(folder: Path, models: Path, users: int) -> Iterator[Api]:
    """Serve a database in which the first user has the same, whoever else there is."""
    folder.mkdir()
    with in_process(settings_in(folder, models)) as service:
        first, *_ = [service.register(f"user-{number}") for number in range(users)]
        numbers = random.Random(3)  # noqa: S311 - the same each time
        for user in User.select().order_by(User.id):
            for _ in range(TRANSCRIPTS):
                _store(user.id, _speech(numbers))
        db.database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[no-untyped-call]
        yield first


def _speech(numbers: random.Random) -> Transcript:
    """Return speech whose words are the rarer the later they are in the vocabulary."""
    weights = [1 / rank for rank in range(1, len(VOCABULARY) + 1)]
    texts = [" ".join(numbers.choices(VOCABULARY, weights, k=WORDS)) for _ in range(SEGMENTS)]
    segments = [segment(5 * at, 5 * at + 5, text) for at, text in enumerate(texts)]
    return Transcript(" ".join(texts), "en", 5 * SEGMENTS, segments)


def _store(owner: int, transcript: Transcript) -> None:
    key = TranscriptKey(ids.uuid7(), "ggml-base", "1", "en", "").values()
    entries = search_index.entries(owner, transcript)
    with write_transaction():
        stored = StoredTranscript.create(**key, data=transcript.to_json())
        Transcription.create(
            **key,
            uuid=ids.uuid7(),
            user_id=owner,
            format="srt",
            status="completed",
            created_at=0,
            transcript_id=stored.id,
        )
        search_index.add(entries, transcript_id=stored.id)


def _p95(api: Api) -> float:
    """Return the 95th percentile of all searches in milliseconds."""
    times = [
        elapsed(lambda q=searched: api.get("/search", query_string={"q": q}))  # type: ignore[misc]
        for _ in range(REPEATS)
        for searched in SEARCHES
    ]
    return statistics.quantiles(times, n=20)[-1] * 1000
