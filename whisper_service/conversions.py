"""The worker's side of uploaded files: the copy to download and the WAV to transcribe."""

import logging
from collections.abc import Callable

from whisper_service import media
from whisper_service.db import write_transaction
from whisper_service.errors import Cancelled, ServiceError
from whisper_service.storage import Storage
from whisper_service.tables import File, Transcription

logger = logging.getLogger(__name__)


def convert_next(storage: Storage, max_seconds: int, running: Callable[[], bool]) -> bool:
    """Convert the oldest file that waits for it, if any; tell whether there was one.

    For one thread. What is interrupted, by a deletion or a stop, leaves nothing behind.
    """
    file = File.select().where(File.status == "converting").order_by(File.id).first()
    if file is None:
        return False
    try:
        _convert(file, storage, max_seconds, running)
    except Cancelled:
        logger.info("Conversion of file %s was cancelled", file.uuid)
    except ServiceError as error:
        _fail(file, str(error))
    except Exception:
        logger.exception("Conversion of file %s failed", file.uuid)
        _fail(file, "Internal error")
    return True


def _convert(file: File, storage: Storage, max_seconds: int, running: Callable[[], bool]) -> None:
    def wanted() -> bool:
        return running() and File.select().where(File.id == file.id).exists()

    original = storage.original(file.uuid)
    converted, speech = storage.temporary(), storage.temporary()
    try:
        kind = media.probe(original)
        samples = media.convert(original, kind, converted, speech, max_seconds, wanted)
        size = converted.stat().st_size
        storage.place(converted, storage.converted(file.uuid))
        storage.place(speech, storage.speech(file.uuid))
        _finish(file, size, samples, storage)
    finally:
        converted.unlink(missing_ok=True)
        speech.unlink(missing_ok=True)


def _finish(file: File, size: int, samples: int, storage: Storage) -> None:
    kind = "video/mp4" if file.kind == "video" else "audio/mpeg"
    with write_transaction():
        kept = (
            File.update(status="ready", content_type=kind, size_bytes=size, samples=samples)
            .where(File.id == file.id)
            .execute()
        )
    if kept:
        storage.original(file.uuid).unlink(missing_ok=True)
    else:
        storage.delete(file.uuid)


def _fail(file: File, message: str) -> None:
    """Fail the file and whatever waits for it. The original stays, for it may be the only copy."""
    with write_transaction():
        File.update(status="failed", error=message).where(File.id == file.id).execute()
        Transcription.update(status="failed", error=message).where(
            Transcription.file_uuid == file.uuid, Transcription.status == "pending"
        ).execute()
