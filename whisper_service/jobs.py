"""The worker's side of transcriptions: claim, complete, fail, put back.

A job is all pending transcriptions of one file with one model and language: they share one
inference. Each is paid in the transaction that claims it, and given its tokens back in the
transaction that takes it out of the run without a result.
"""

import time
from dataclasses import dataclass

from peewee import ModelSelect

from whisper_service import billing, ids
from whisper_service.db import write_transaction
from whisper_service.tables import File, StoredTranscript, Transcription, User
from whisper_service.transcript import Transcript

MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class Job:
    """One run of the engine. `duration` is in seconds."""

    claim: str
    file_uuid: str
    model: str
    language: str
    duration: float


def claim_next() -> Job | None:
    """Claim the oldest transcription whose file is converted, and all that can share its run.

    What the balance does not cover fails here. None when nothing waits.
    """
    with write_transaction():
        while first := _oldest_pending():
            claim = ids.uuid7()
            samples = File.get(File.uuid == first.file_uuid).samples or 0
            paid = [_pay(member, samples, claim) for member in _same_run(first)]
            if any(paid):
                duration = samples / billing.SAMPLES_PER_SECOND
                return Job(claim, first.file_uuid, first.model, first.language, duration)
    return None


def is_wanted(job: Job) -> bool:
    """Tell whether anybody still waits for the job; a deletion takes its rows away."""
    return _running(job.claim).exists()


def complete(job: Job, transcript: Transcript) -> None:
    """Keep the transcript for all that shared the run."""
    with write_transaction():
        if not _running(job.claim).exists():
            return
        stored = StoredTranscript.create(data=transcript.to_json())
        _update_running(
            job.claim,
            status="completed",
            transcript_id=stored.id,
            processed_at=int(time.time()),
        )


def fail(job: Job, message: str) -> None:
    """End the job without a result and give the tokens back."""
    with write_transaction():
        _refund_all(job.claim)
        _update_running(job.claim, status="failed", error=message)


def put_back(job: Job) -> None:
    """Undo the claim of a job that was stopped in order: no token and no attempt is spent."""
    with write_transaction():
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


def _oldest_pending() -> Transcription | None:
    oldest: Transcription | None = (
        Transcription.select(Transcription)
        .join(File, on=(File.uuid == Transcription.file_uuid))
        .where(Transcription.status == "pending", File.samples.is_null(is_null=False))
        .order_by(Transcription.id)
        .first()
    )
    return oldest


def _same_run(first: Transcription) -> list[Transcription]:
    return list(
        Transcription.select()
        .where(
            Transcription.status == "pending",
            Transcription.file_uuid == first.file_uuid,
            Transcription.model == first.model,
            Transcription.language == first.language,
        )
        .order_by(Transcription.id)
    )


def _pay(transcription: Transcription, samples: int, claim: str) -> bool:
    """Charge one transcription and take it into the run, or fail it for want of tokens."""
    user = User.get_by_id(transcription.user_id)
    cost = billing.cost(samples, user.price_micros)
    if user.token_balance < cost:
        needed = f"Required: {cost}, Available: {user.token_balance}"
        row = Transcription.update(status="failed", error=f"Insufficient token balance. {needed}")
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
