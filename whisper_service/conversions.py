"""The worker's side of uploaded files: the WAV to transcribe, then the copy to download."""

import logging
from collections.abc import Callable
from pathlib import Path

from peewee import ModelSelect

from whisper_service import db, media, metrics
from whisper_service.db import write_transaction
from whisper_service.errors import Cancelled, ServiceError
from whisper_service.media import Media
from whisper_service.storage import Storage
from whisper_service.tables import File, Transcription

logger = logging.getLogger(__name__)

Wanted = Callable[[], bool]


def extract_next(storage: Storage, max_seconds: int, running: Wanted) -> bool:
    """Make the WAV of the oldest file that has none, so that it can be transcribed.

    Tells whether there was one. For one thread; what is interrupted, by a deletion or a stop,
    leaves nothing behind.
    """

    def step(file: File, kind: Media, target: Path, wanted: Wanted) -> None:
        original = storage.original(file.uuid)
        with metrics.timed("extract"):
            samples = media.extract(original, kind, target, max_seconds, wanted)
        storage.place(target, storage.speech(file.uuid))
        _keep(file, storage, samples=samples)

    waiting = File.select().where(File.status == "converting", File.samples.is_null())
    return _next(waiting.order_by(File.id), storage, running, step)


def encode_next(storage: Storage, max_seconds: int, running: Wanted) -> bool:
    """Make the copy of the shortest file that lacks only that, as `extract_next` does."""

    def step(file: File, kind: Media, target: Path, wanted: Wanted) -> None:
        original = storage.original(file.uuid)
        with metrics.timed("encode"):
            media.encode(original, kind, target, max_seconds, wanted)
        size = target.stat().st_size
        storage.place(target, storage.converted(file.uuid))
        content_type = "video/mp4" if file.kind == "video" else "audio/mpeg"
        if _keep(file, storage, status="ready", content_type=content_type, size_bytes=size):
            original.unlink(missing_ok=True)

    lacks_copy = (File.status == "converting") & File.samples.is_null(is_null=False)
    waiting = File.select().where(lacks_copy).order_by(File.samples)
    return _next(waiting, storage, running, step)


def _next(
    waiting: "ModelSelect[File]",
    storage: Storage,
    running: Wanted,
    step: Callable[[File, Media, Path, Wanted], None],
) -> bool:
    file = waiting.first() if storage.has_room() else None
    if file is None:
        return False

    def wanted() -> bool:
        return running() and storage.has_room() and File.select().where(File.id == file.id).exists()

    target = storage.temporary()
    try:
        step(file, media.probe(storage.original(file.uuid)), target, wanted)
    except Cancelled:
        logger.info("Conversion of file %d was cancelled", file.id)
        return storage.has_room()  # what is tried again waits for room
    except ServiceError as error:
        _fail(file, str(error), storage)
    except Exception as error:
        if db.is_full(error):
            raise
        logger.exception("Conversion of file %d failed", file.id)
        _fail(file, "Internal error", storage)
    finally:
        target.unlink(missing_ok=True)
    return True


def _keep(file: File, storage: Storage, **values: object) -> bool:
    """Tell the database what is there now. False if the file was deleted meanwhile."""
    with write_transaction():
        kept = bool(File.update(**values).where(File.id == file.id).execute())
    if not kept:
        storage.delete(file.uuid)
    return kept


def _fail(file: File, message: str, storage: Storage) -> None:
    """Fail the file. The original stays, for it may be the only copy.

    What waits for its WAV fails with it. On a full disk nothing is known of a file: it is tried
    again.
    """
    if not storage.has_room():
        return
    with write_transaction():
        File.update(status="failed", error=message).where(File.id == file.id).execute()
        if file.samples is None:
            Transcription.update(status="failed", error=message).where(
                Transcription.file_uuid == file.uuid, Transcription.status == "pending"
            ).execute()
