"""The worker's side of uploaded files: the WAV to transcribe, then the copy to download."""

import logging
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from peewee import fn

from whisper_service import db, metrics
from whisper_service.db import write_transaction
from whisper_service.errors import Cancelled, ServiceError
from whisper_service.files import ffmpeg, quota
from whisper_service.files.ffmpeg import Media
from whisper_service.files.storage import Storage
from whisper_service.files.turns import Turns
from whisper_service.tables import File, Transcription

# What claims to be short never waits for anything longer. What is not short after all, by more
# than an honest claim may be wrong, waits with the long ones.
SHORT_SECONDS, SHORT_MAX_SECONDS = 600, 1500

# That work on one kind of conversion.
MAX_THREADS = 2

logger = logging.getLogger(__name__)

Wanted = Callable[[], bool]
Step = Callable[[File, Media, Path, Wanted], None]


def extract_next(
    storage: Storage, max_seconds: int, running: Wanted, turns: Turns, *, only_short: bool = False
) -> bool:
    """Make the WAV of the next file that has none, so that it can be transcribed.

    Return whether there was one. What is interrupted, by a deletion or a stop, leaves nothing
    behind.
    """

    def find() -> list[File]:
        is_short = File.claimed_seconds <= SHORT_SECONDS
        waiting = File.samples.is_null(), *([is_short] if only_short else [])
        return _first_of_each_user(File.claimed_seconds, *waiting)

    extract = _extract_short if only_short else _extract
    with turns.take(find, _claimed_seconds) as file:
        return _convert(file, storage, running, partial(extract, storage, max_seconds))


def encode_next(storage: Storage, max_seconds: int, running: Wanted, turns: Turns) -> bool:
    """Make the copy of the next file that lacks only that, as `extract_next` does."""

    def find() -> list[File]:
        return _first_of_each_user(File.samples, File.samples.is_null(is_null=False))

    with turns.take(find, _samples) as file:
        return _convert(file, storage, running, partial(_encode, storage, max_seconds))


def _claimed_seconds(file: File) -> float:
    return math.inf if file.claimed_seconds is None else file.claimed_seconds


def _samples(file: File) -> float:
    return file.samples or 0


def _first_of_each_user(length: Any, *conditions: Any) -> list[File]:  # noqa: ANN401 - SQL
    """Return the shortest files of each user that wait, one more than can be under way.

    A queue may be long, and it is looked at for each conversion: no more of it is loaded.
    """
    order = [length.asc(nulls="last"), File.id]
    place = fn.ROW_NUMBER().over(partition_by=[File.user_id], order_by=order)
    ranked = File.select(File.id, place.alias("place")).where(
        File.status == "converting", *conditions
    )
    first = File.select().join(ranked, on=(ranked.c.id == File.id))
    return list(first.where(ranked.c.place <= MAX_THREADS + 1))


def _extract(
    storage: Storage, max_seconds: int, file: File, kind: Media, target: Path, wanted: Wanted
) -> None:
    claimed = max(0, (kind.length.header_seconds or 0) - 1)  # it was rounded up
    quota.check(file.user_id, quota.wav_bytes(claimed * ffmpeg.SAMPLE_RATE), storage.quota_bytes)
    with metrics.timed("extract"):
        samples = ffmpeg.extract(storage.original(file.uuid), kind, target, max_seconds, wanted)
    speech = storage.speech(file.uuid)
    _keep(file, storage, target, speech, quota.wav_bytes(samples), samples=samples)


def _extract_short(
    storage: Storage, max_seconds: int, file: File, kind: Media, target: Path, wanted: Wanted
) -> None:
    """Extract a recording that claims to be short, or leave it, when it is not, for later."""
    try:
        _extract(storage, min(max_seconds, SHORT_MAX_SECONDS), file, kind, target, wanted)
    except ffmpeg.TooLong:
        longest = kind.length.longest(file.size_bytes, max_seconds)
        if longest <= SHORT_MAX_SECONDS:
            raise
        with write_transaction():
            File.update(claimed_seconds=None).where(*_unchanged(file)).execute()


def _encode(
    storage: Storage, max_seconds: int, file: File, kind: Media, target: Path, wanted: Wanted
) -> None:
    original, copy = storage.original(file.uuid), storage.converted(file.uuid)
    with metrics.timed("encode"):
        ffmpeg.encode(original, kind, target, max_seconds, wanted)
    size = target.stat().st_size
    values = {
        "status": "ready",
        "content_type": "video/mp4" if file.kind == "video" else "audio/mpeg",
        "size_bytes": size,
    }
    if _keep(file, storage, target, copy, size - file.size_bytes, **values):
        original.unlink(missing_ok=True)


def _convert(file: File | None, storage: Storage, running: Wanted, step: Step) -> bool:
    if file is None or not storage.has_room():
        return False
    target = storage.temporary()

    def wanted() -> bool:
        return running() and storage.has_room() and _is_unchanged(file)

    try:
        step(file, ffmpeg.probe(storage.original(file.uuid)), target, wanted)
    except Exception as error:
        if db.is_full(error):
            raise
        if isinstance(error, Cancelled) or not _is_unchanged(file):
            logger.info("Conversion of file %s was cancelled", file.uuid)
            _remove_if_deleted(file, storage)
            return storage.has_room()  # what is tried again waits for room
        if not isinstance(error, ServiceError):
            logger.exception("Conversion of file %s failed", file.uuid)
        _fail(file, str(error) if isinstance(error, ServiceError) else "Internal error", storage)
    finally:
        target.unlink(missing_ok=True)
    return True


def _unchanged(file: File) -> tuple[Any, ...]:
    """Return the conditions for a file to be what it was when its conversion began."""
    same_wav = File.samples.is_null(is_null=file.samples is None)
    return File.uuid == file.uuid, File.status == "converting", same_wav


def _is_unchanged(file: File) -> bool:
    return File.select().where(*_unchanged(file)).exists()


def _keep(
    file: File, storage: Storage, made: Path, target: Path, added_bytes: int, **values: object
) -> bool:
    """Place what was made, and record it. Return False if the file was deleted meanwhile.

    Raises StorageQuotaExceeded.
    """
    storage.place(made, target)
    try:
        with write_transaction():
            quota.check(file.user_id, added_bytes, storage.quota_bytes)
            kept = bool(File.update(**values).where(*_unchanged(file)).execute())
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    if not kept:
        _remove_if_deleted(file, storage)
    return kept


def _fail(file: File, message: str, storage: Storage) -> None:
    """Fail the file. The original stays, for it may be the only copy.

    What waits for its WAV fails with it. On a full disk nothing is known of a file: it is tried
    again.
    """
    if not storage.has_room():
        return
    with write_transaction():
        failed = File.update(status="failed", error=message).where(*_unchanged(file)).execute()
        if failed and file.samples is None:
            Transcription.update(status="failed", error=message).where(
                Transcription.file_uuid == file.uuid, Transcription.status == "pending"
            ).execute()
    if not failed:
        _remove_if_deleted(file, storage)


def _remove_if_deleted(file: File, storage: Storage) -> None:
    """Remove what was placed since a deletion; no other file ever gets the same uuid."""
    if not File.select().where(File.uuid == file.uuid).exists():
        storage.delete(file.uuid)
