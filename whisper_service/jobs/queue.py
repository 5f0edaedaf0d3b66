"""The worker's side of transcriptions: claim, complete, fail, put back.

A job is all pending transcriptions of one file with one model and language: they share one
transcript. Each is paid in the transaction that claims it, and given its tokens back in the
transaction that takes it out of the run without a result.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Any

from peewee import ModelSelect, fn

from whisper_service import billing, ids
from whisper_service.audio import SAMPLE_RATE
from whisper_service.db import write_transaction
from whisper_service.jobs import checkpoints
from whisper_service.tables import File, StoredTranscript, Transcription, User
from whisper_service.transcript_key import TranscriptKey, same_key
from whisper_service.transcripts.transcript import Transcript
from whisper_service.whisper.chunking import Chunk
from whisper_service.whisper.protocol import Transcribed

# Runs in which the engine crashes or hangs, and ends of the service since the last checkpoint,
# after which a job is given up: its recording may be what ends them.
MAX_ATTEMPTS = 3
MAX_IDLE_STARTS = 10
# Transcriptions that one run serves, so that no transaction is long.
MAX_SHARED = 100
# A job up to this length goes ahead of the same user's longer ones.
SHORT_SECONDS = 120


@dataclass(frozen=True)
class Job:
    """One transcript to make, for all the transcriptions that were claimed together.

    `samples` are counted at 16 kHz.
    """

    claim: str
    user_id: int
    key: TranscriptKey
    samples: int


def waiting() -> list[int]:
    """Return the ids of users who have a transcription that could be claimed."""
    rows = _claimable().select(Transcription.user_id).distinct().order_by()
    return [row.user_id for row in rows]


def claim_next(user_id: int | None = None, *, only_short: bool = False) -> Job | None:
    """Claim a user's oldest transcription that can start, and all that can share its run.

    Short recordings go before long ones. What the balance does not cover fails here. None when
    nothing waits.
    """
    while True:
        with write_transaction():
            first = _first_claimable(user_id, only_short=only_short)
            if first is None:
                return None
            claim = ids.uuid7()
            samples = File.get(File.uuid == first.file_uuid).samples or 0
            key = TranscriptKey.of(first)
            if _pay(_sharing(key), samples, claim):
                return Job(claim, first.user_id, key, samples)
            checkpoints.clear_unwanted(key)


def complete_stored() -> bool:
    """Complete a transcription whose transcript was made before. Return whether there was one.

    It costs what any transcription costs.
    """
    with write_transaction():
        first = _pending().join(StoredTranscript, on=_has_transcript()).first()
        if first is None:
            return False
        claim = ids.uuid7()
        stored = StoredTranscript.get(*TranscriptKey.of(first).matching(StoredTranscript))
        if _pay([first], _samples_of(stored), claim):
            _finish(claim, stored.id)
    return True


def count() -> tuple[int, int]:
    """Return how many transcriptions are pending, and how many are processing."""
    of = {"pending": 0, "processing": 0}
    for status in of:
        of[status] = Transcription.select().where(Transcription.status == status).count()
    return of["pending"], of["processing"]


def is_wanted(job: Job) -> bool:
    """Return whether anybody still waits for the job; a deletion takes its rows away."""
    return _running(job.claim).exists()


def save_checkpoint(job: Job, chunk: Chunk, answer: Transcribed, speech_samples: int) -> None:
    """Keep what the engine answered for a chunk, of `speech_samples` that the job has in all.

    It is progress: how often the service ended before counts no more.
    """
    with write_transaction():
        if not _running(job.claim).exists():
            return
        checkpoints.save(job.key, chunk, answer)
        Transcription.update(idle_starts=0, speech_samples=speech_samples).where(
            Transcription.claim == job.claim,
            Transcription.status == "processing",
            (Transcription.idle_starts != 0) | Transcription.speech_samples.is_null(),
        ).execute()


def complete(job: Job, transcript: Transcript) -> None:
    """Keep the transcript for all that shared the run."""
    data = transcript.to_json()
    with write_transaction():
        if _running(job.claim).exists():
            stored = StoredTranscript.create(**job.key.values(), data=data)
            _finish(job.claim, stored.id)
        checkpoints.clear(job.key)


def fail(job: Job, message: str) -> None:
    """End the job without a result and give the tokens back."""
    with write_transaction():
        _refund_all(job.claim)
        _update_running(job.claim, status="failed", error=message)
        checkpoints.clear_unwanted(job.key)


def put_back(job: Job) -> None:
    """Undo the claim of a job that was stopped in order: no token and no attempt is spent."""
    with write_transaction():
        _refund_all(job.claim)
        _update_running(job.claim, status="pending")
        checkpoints.clear_unwanted(job.key)


def retry(claim: str) -> None:
    """Give the tokens back for a run in which the engine crashed or hung, and queue the job again.

    It fails after its last attempt.
    """
    message = f"The transcription was interrupted {MAX_ATTEMPTS} times and is not tried again"
    with write_transaction():
        _refund_all(claim)
        _update_running(claim, attempts=Transcription.attempts + 1)
        _fail_or_queue(claim, Transcription.attempts >= MAX_ATTEMPTS, message)


def requeue_interrupted() -> None:
    """Queue again, at the start, what was running when the service died.

    What made no progress in many starts fails, for it may be what ends the service.
    """
    message = (
        f"The service ended {MAX_IDLE_STARTS} times while this transcription made no progress; "
        "it is not tried again"
    )
    running = Transcription.select(Transcription.claim).where(Transcription.status == "processing")
    for claim in {str(transcription.claim) for transcription in running}:
        with write_transaction():
            _refund_all(claim)
            _update_running(claim, idle_starts=Transcription.idle_starts + 1)
            _fail_or_queue(claim, Transcription.idle_starts >= MAX_IDLE_STARTS, message)


def _pending() -> "ModelSelect[Transcription]":
    return (
        Transcription.select().where(Transcription.status == "pending").order_by(Transcription.id)
    )


def _claimable() -> "ModelSelect[Transcription]":
    """Select what waits for an engine: with a WAV, and without a stored transcript."""
    made = StoredTranscript.select().where(_has_transcript())
    return (
        _pending()
        .join(File, on=(File.uuid == Transcription.file_uuid))
        .where(File.samples.is_null(is_null=False), ~fn.EXISTS(made))
    )


def _first_claimable(user_id: int | None, *, only_short: bool) -> Transcription | None:
    query = _claimable()
    if user_id is not None:
        query = query.where(Transcription.user_id == user_id)
    short = File.samples <= SHORT_SECONDS * SAMPLE_RATE
    first: Transcription | None = query.where(short).first()
    return first or (None if only_short else query.first())


def _sharing(key: TranscriptKey) -> list[Transcription]:
    return list(_pending().where(*key.matching(Transcription)).limit(MAX_SHARED))


def _has_transcript() -> Any:  # noqa: ANN401 - an SQL expression
    return reduce(and_, same_key(StoredTranscript, Transcription))


def _samples_of(stored: StoredTranscript) -> int:
    of_it = Transcription.select().where(Transcription.transcript_id == stored.id)
    return of_it.get().samples or 0


def _pay(members: Sequence[Transcription], samples: int, claim: str) -> bool:
    """Charge a user's transcriptions and take them into the run; fail those not covered.

    Returns whether the run has any.
    """
    user = User.get_by_id(members[0].user_id)
    cost = billing.cost(samples, user.price_micros)
    balance, paid, unpaid = user.token_balance, [], []
    for member in members:
        price = 0 if billing.is_settled(member.uuid) else cost
        if price > balance:
            unpaid.append(member.id)
            continue
        billing.charge(user.id, member.uuid, claim, price)
        balance -= price
        paid.append(member.id)
    if unpaid:
        error = billing.insufficient_balance(cost, balance)
        _update(unpaid, status="failed", error=error)
    if paid:
        _update(paid, status="processing", claim=claim, samples=samples)
    return bool(paid)


def _update(numbers: Sequence[int], **values: object) -> None:
    Transcription.update(**values).where(Transcription.id.in_(numbers)).execute()


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


def _fail_or_queue(claim: str, is_last: Any, message: str) -> None:  # noqa: ANN401 - SQL
    given_up = _running(claim).where(is_last).first()
    Transcription.update(status="failed", error=message).where(
        Transcription.claim == claim, Transcription.status == "processing", is_last
    ).execute()
    _update_running(claim, status="pending")
    if given_up:
        checkpoints.clear_unwanted(TranscriptKey.of(given_up))


def _refund_all(claim: str) -> None:
    for transcription in list(_running(claim)):
        billing.refund(transcription.uuid, claim)
