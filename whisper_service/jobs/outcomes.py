"""What becomes of a job that was claimed: progress, a result, a failure, another try."""

import time
from typing import Any

from peewee import ModelSelect

from whisper_service import billing, search_index
from whisper_service.db import write_transaction
from whisper_service.jobs import checkpoints
from whisper_service.jobs.job import Job
from whisper_service.tables import StoredTranscript, Transcription
from whisper_service.transcript_key import TranscriptKey
from whisper_service.transcripts.transcript import Transcript
from whisper_service.whisper.chunking import Chunk
from whisper_service.whisper.protocol import Transcribed

# Runs in which the engine crashes or hangs, and ends of the service since the last checkpoint,
# after which a job is given up: its recording may be what ends them.
MAX_ATTEMPTS = 3
MAX_IDLE_STARTS = 10


def is_wanted(job: Job) -> bool:
    """Return whether anybody still waits for the job; a deletion takes its rows away."""
    return _running(job.claim).exists()


def save_checkpoint(job: Job, chunk: Chunk, answer: Transcribed, speech_samples: int) -> None:
    """Keep what the engine answered for a chunk, of `speech_samples` that the job has in all.

    That is progress, so interruptions are counted from zero again.
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
    entries = search_index.entries(job.user_id, transcript)
    with write_transaction():
        if _running(job.claim).exists():
            stored = StoredTranscript.create(**job.key.values(), data=data)
            search_index.add(entries, transcript_id=stored.id)
            finish(job.claim, stored.id)
            checkpoints.clear(job.key)
        else:
            checkpoints.clear_unwanted(job.key)


def fail(job: Job, message: str) -> None:
    """Fail the job and refund it."""
    with write_transaction():
        _refund_all(job.claim)
        _update_running(job.claim, status="failed", error=message)
        checkpoints.clear_unwanted(job.key)


def put_back(job: Job) -> None:
    """Undo the claim of a job that was stopped: no tokens and no attempt are spent."""
    with write_transaction():
        _refund_all(job.claim)
        _update_running(job.claim, status="pending")
        checkpoints.clear_unwanted(job.key)


def retry(claim: str) -> None:
    """Refund a run in which the engine crashed or hung, and queue the job again.

    It fails after its last attempt.
    """
    message = f"The transcription was interrupted {MAX_ATTEMPTS} times and is not tried again"
    with write_transaction():
        _refund_all(claim)
        _update_running(claim, attempts=Transcription.attempts + 1)
        _fail_or_queue(claim, Transcription.attempts >= MAX_ATTEMPTS, message)


def requeue_interrupted() -> None:
    """Queue again, at the start, the jobs that were running when the service died.

    A job without progress in many starts fails, since it may be what ends the service.
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


def finish(claim: str, transcript_id: int) -> None:
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
