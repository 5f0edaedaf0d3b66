"""Transcriptions in the queue."""

from pathlib import Path

from tests.support.paths import DATA
from tests.support.service import Api, Service
from whisper_service import db, ids
from whisper_service.jobs import queue
from whisper_service.jobs.job import Job
from whisper_service.tables import File, Transcription, User

JFK = DATA / "jfk.wav"  # 11 seconds, so 11 tokens


def submit(service: Service, api: Api, path: Path = JFK, **fields: object) -> list[str]:
    (file,) = api.upload(path)
    service.convert_once()
    body = {"uuid": file["uuid"], "model": "ggml-tiny.en", **fields}
    return [item["uuid"] for item in api.post("/transcribe", body)["transcriptions"]]


def add_file(user: User, samples: int) -> str:
    """Add the row of a file that can be transcribed, with nothing on disk. Return its uuid."""
    file = File.create(
        uuid=ids.uuid7(),
        user_id=user.id,
        hash=2 * ids.uuid7(),
        filename="talk",
        kind="audio",
        status="ready",
        content_type="audio/mpeg",
        size_bytes=1,
        samples=samples,
        uploaded_at=0,
    )
    return str(file.uuid)


def balance() -> int:
    (total,) = db.database.execute_sql("SELECT sum(amount) FROM ledger").fetchone()
    assert total == User.get().token_balance
    return total


def statuses() -> list[str]:
    return [row.status for row in Transcription.select().order_by(Transcription.id)]


def claim() -> Job:
    job = queue.claim_next()
    assert job
    return job
