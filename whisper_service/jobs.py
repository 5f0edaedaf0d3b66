"""The worker's side of transcriptions: claim, complete, fail, put back.

A job is all pending transcriptions of one file with one model and language: they share one
transcript. Each is paid in the transaction that claims it, and given its tokens back in the
transaction that takes it out of the run without a result.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from peewee import ModelSelect, fn

from whisper_service import billing, checkpoints, ids
from whisper_service.db import write_transaction
from whisper_service.tables import File, StoredTranscript, Transcription, User
from whisper_service.transcript import Transcript

MAX_ATTEMPTS = 3
# A job up to this length goes ahead of the same user's longer ones.
SHORT_SECONDS = 120
MAX_COUNTED = 1000
INSUFFICIENT = "Insufficient token balance"


@dataclass(frozen=True)
class Job:
    """One transcript to make, for all the transcriptions that were claimed together.

    `samples` are counted at 16 kHz.
    """

    claim: str
    user_id: int
    file_uuid: str
    model: str
    model_version: str
    language: str
    samples: int
    options: str = ""


def waiting() -> list[int]:
    """List the users, by id, who have a transcription that could be claimed."""
    rows = _claimable().select(Transcription.user_id).distinct().order_by()
    return [row.user_id for row in rows]


def claim_next(user_id: int | None = None, *, only_short: bool = False) -> Job | None:
    """Claim a user's oldest transcription that can start, and all that can share its run.

    Short recordings go before long ones. What the balance does not cover fails here. None when
    nothing waits.
    """
    with write_transaction():
        while first := _first_claimable(user_id, only_short=only_short):
            claim = ids.uuid7()
            samples = File.get(File.uuid == first.file_uuid).samples or 0
            paid = [_pay(member, samples, claim) for member in _same_transcript(first)]
            if any(paid):
                return Job(claim, first.user_id, samples=samples, **checkpoints.key(first))
    return None


def complete_stored() -> bool:
    """Complete, at once, a transcription whose transcript was made before. Tell if there was one.

    It costs what any transcription costs.
    """
    with write_transaction():
        first = _pending().join(StoredTranscript, on=_same_as(StoredTranscript)).first()
        if first is None:
            return False
        claim = ids.uuid7()
        stored = StoredTranscript.get(
            *checkpoints.matching(StoredTranscript, checkpoints.key(first))
        )
        if _pay(first, _samples_of(stored), claim):
            _finish(claim, stored.id)
    return True


def ahead_of(transcription: Transcription) -> tuple[int, float]:
    """Count the jobs that were queued before a pending one, and sum up their seconds of audio.

    Short ones and other users' may well go first, and beyond some number they are not counted.
    """
    what = [getattr(Transcription, name) for name in checkpoints.key(transcription)]
    older = (
        Transcription.select(*what, File.samples)
        .join(File, on=(File.uuid == Transcription.file_uuid))
        .where(Transcription.status == "pending", Transcription.id < transcription.id)
        .limit(MAX_COUNTED)
        .distinct()
    )
    rows: Iterable[tuple[Any, ...]] = older.tuples()  # type: ignore[assignment]
    own = tuple(checkpoints.key(transcription).values())
    samples = [row[-1] or 0 for row in rows if row[:-1] != own]
    return len(samples), sum(samples) / billing.SAMPLES_PER_SECOND


def count() -> tuple[int, int]:
    """Count the transcriptions that are pending and that are processing."""
    of = {"pending": 0, "processing": 0}
    for status in of:
        of[status] = Transcription.select().where(Transcription.status == status).count()
    return of["pending"], of["processing"]


def is_wanted(job: Job) -> bool:
    """Tell whether anybody still waits for the job; a deletion takes its rows away."""
    return _running(job.claim).exists()


def complete(job: Job, transcript: Transcript) -> None:
    """Keep the transcript for all that shared the run."""
    of = checkpoints.key(job)
    with write_transaction():
        if _running(job.claim).exists():
            stored = StoredTranscript.create(**of, data=transcript.to_json())
            _finish(job.claim, stored.id)
        checkpoints.clear(of)


def fail(job: Job, message: str) -> None:
    """End the job without a result and give the tokens back."""
    with write_transaction():
        _refund_all(job.claim)
        _update_running(job.claim, status="failed", error=message)
        checkpoints.clear(checkpoints.key(job))


def put_back(job: Job) -> None:
    """Undo the claim of a job that was stopped in order: no token and no attempt is spent."""
    with write_transaction():
        if not _running(job.claim).exists():  # it was deleted, and nobody will go on with it
            checkpoints.clear(checkpoints.key(job))
        _refund_all(job.claim)
        _update_running(job.claim, status="pending", attempts=Transcription.attempts - 1)


def retry(claim: str) -> None:
    """Give the tokens back and queue the job again, or fail it after its last attempt."""
    with write_transaction():
        _refund_all(claim)
        message = f"The transcription was interrupted {MAX_ATTEMPTS} times and is not tried again"
        Transcription.update(status="failed", error=message).where(
            Transcription.claim == claim,
            Transcription.status == "processing",
            Transcription.attempts >= MAX_ATTEMPTS,
        ).execute()
        _update_running(claim, status="pending")


def requeue_interrupted() -> None:
    """Queue again, at the start, what was running when the process died."""
    running = Transcription.select(Transcription.claim).where(Transcription.status == "processing")
    for claim in {transcription.claim for transcription in running}:
        retry(str(claim))


def _pending() -> "ModelSelect[Transcription]":
    return (
        Transcription.select().where(Transcription.status == "pending").order_by(Transcription.id)
    )


def _claimable() -> "ModelSelect[Transcription]":
    """Select what waits for an engine: its recording is converted, its transcript is to be made."""
    made = StoredTranscript.select().where(_same_as(StoredTranscript))
    return (
        _pending()
        .join(File, on=(File.uuid == Transcription.file_uuid))
        .where(File.samples.is_null(is_null=False), ~fn.EXISTS(made))
    )


def _first_claimable(user_id: int | None, *, only_short: bool) -> Transcription | None:
    query = _claimable()
    if user_id is not None:
        query = query.where(Transcription.user_id == user_id)
    short = File.samples <= SHORT_SECONDS * billing.SAMPLES_PER_SECOND
    first: Transcription | None = query.where(short).first()
    return first or (None if only_short else query.first())


def _same_transcript(first: Transcription) -> list[Transcription]:
    return list(_pending().where(*checkpoints.matching(Transcription, checkpoints.key(first))))


def _same_as(table: type[StoredTranscript]) -> Any:  # noqa: ANN401 - an SQL expression
    return (
        (table.file_uuid == Transcription.file_uuid)
        & (table.model == Transcription.model)
        & (table.model_version == Transcription.model_version)
        & (table.language == Transcription.language)
        & (table.options == Transcription.options)
    )


def _samples_of(stored: StoredTranscript) -> int:
    of_it = Transcription.select().where(Transcription.transcript_id == stored.id)
    return of_it.get().samples or 0


def _pay(transcription: Transcription, samples: int, claim: str) -> bool:
    """Charge one transcription and take it into the run, or fail it for want of tokens."""
    user = User.get_by_id(transcription.user_id)
    cost = billing.cost(samples, user.price_micros)
    if user.token_balance < cost:
        needed = f"Required: {cost}, Available: {user.token_balance}"
        row = Transcription.update(status="failed", error=f"{INSUFFICIENT}. {needed}")
    else:
        billing.charge(user.id, transcription.uuid, claim, cost)
        row = Transcription.update(
            status="processing",
            claim=claim,
            samples=samples,
            attempts=Transcription.attempts + 1,
        )
    row.where(Transcription.id == transcription.id).execute()
    return user.token_balance >= cost


def _finish(claim: str, transcript_id: int) -> None:
    _update_running(
        claim,
        status="completed",
        transcript_id=transcript_id,
        processed_at=int(time.time()),
    )


def _running(claim: str) -> "ModelSelect[Transcription]":
    return Transcription.select().where(
        Transcription.claim == claim, Transcription.status == "processing"
    )


def _update_running(claim: str, **values: object) -> None:
    Transcription.update(**values).where(
        Transcription.claim == claim, Transcription.status == "processing"
    ).execute()


def _refund_all(claim: str) -> None:
    for transcription in list(_running(claim)):
        billing.refund(transcription.uuid, claim)
