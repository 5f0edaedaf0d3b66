"""Converting uploaded files: first the WAV to transcribe, then the copy to download."""

import logging
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from peewee import fn

from whisper_service import db, metrics
from whisper_service.audio import SAMPLE_RATE
from whisper_service.db import write_transaction
from whisper_service.errors import Cancelled, ServiceError
from whisper_service.files import media, quota, transcoding
from whisper_service.files.media import Media
from whisper_service.files.storage import Storage
from whisper_service.files.turns import Turns
from whisper_service.tables import File, Transcription

# A file whose header claims at most SHORT_SECONDS never waits for longer ones. One that turns out
# to be longer than SHORT_MAX_SECONDS, more than an honest claim may be wrong, waits with those.
SHORT_SECONDS, SHORT_MAX_SECONDS = 600, 1500

MAX_THREADS = 2  # that work on one kind of conversion

logger = logging.getLogger(__name__)

Check = Callable[[], bool]
Step = Callable[[File, Media, Path, Check], None]


def extract_next(
    storage: Storage, max_seconds: int, is_running: Check, turns: Turns, *, only_short: bool = False
) -> File | None:
    """Make the WAV of the next file that has none, and return that file; None if all have one.

    A conversion that a deletion or a stop interrupts leaves nothing behind.
    """

    def find() -> list[File]:
        is_short = File.claimed_seconds <= SHORT_SECONDS
        waiting = File.samples.is_null(), *([is_short] if only_short else [])
        return _first_of_each_user(File.claimed_seconds, *waiting)

    extract = _extract_short if only_short else _extract
    with turns.take(find, _claimed_seconds) as file:
        step = partial(extract, storage, max_seconds)
        return file if _convert(file, storage, is_running, step) else None


def encode_next(storage: Storage, max_seconds: int, is_running: Check, turns: Turns) -> bool:
    """Make the copy of the next file that has a WAV, and return whether there was one."""

    def find() -> list[File]:
        return _first_of_each_user(File.samples, File.samples.is_null(is_null=False))

    with turns.take(find, _samples) as file:
        return _convert(file, storage, is_running, partial(_encode, storage, max_seconds))


def _claimed_seconds(file: File) -> float:
    return math.inf if file.claimed_seconds is None else file.claimed_seconds


def _samples(file: File) -> float:
    return file.samples or 0


def _first_of_each_user(length: Any, *conditions: Any) -> list[File]:  # noqa: ANN401 - SQL
    """Return the shortest waiting files of each user, one more than can be converted at once.

    The queue may be long and is read for each conversion, so no more of it is loaded.
    """
    order = [length.asc(nulls="last"), File.id]
    place = fn.ROW_NUMBER().over(partition_by=[File.user_id], order_by=order)
    ranked = File.select(File.id, place.alias("place")).where(
        File.status == "converting", *conditions
    )
    first = File.select().join(ranked, on=(ranked.c.id == File.id))
    return list(first.where(ranked.c.place <= MAX_THREADS + 1))


def _extract(
    storage: Storage, max_seconds: int, file: File, probed: Media, target: Path, is_wanted: Check
) -> None:
    claimed = max(0, (probed.length.header_seconds or 0) - 1)  # it was rounded up
    added_bytes = quota.wav_bytes(claimed * SAMPLE_RATE)
    quota.check(file.user_id, added_bytes, storage.quota_bytes)
    original = storage.original(file.uuid)
    with metrics.timed("extract"):
        samples = transcoding.extract(original, probed, target, max_seconds, is_wanted)
    speech = storage.speech(file.uuid)
    _keep(file, storage, target, speech, quota.wav_bytes(samples), samples=samples)


def _extract_short(
    storage: Storage, max_seconds: int, file: File, probed: Media, target: Path, is_wanted: Check
) -> None:
    """Extract a recording that claims to be short; if it is not, leave it for later."""
    try:
        _extract(storage, min(max_seconds, SHORT_MAX_SECONDS), file, probed, target, is_wanted)
    except transcoding.TooLong:
        longest = probed.length.longest(file.size_bytes, max_seconds)
        if longest <= SHORT_MAX_SECONDS:
            raise
        with write_transaction():
            File.update(claimed_seconds=None).where(*_unchanged(file)).execute()


def _encode(
    storage: Storage, max_seconds: int, file: File, probed: Media, target: Path, is_wanted: Check
) -> None:
    original, copy = storage.original(file.uuid), storage.converted(file.uuid)
    with metrics.timed("encode"):
        transcoding.encode(original, probed, target, max_seconds, is_wanted)
    size = target.stat().st_size
    values = {
        "status": "ready",
        "content_type": "video/mp4" if file.kind == "video" else "audio/mpeg",
        "size_bytes": size,
    }
    if _keep(file, storage, target, copy, size - file.size_bytes, **values):
        original.unlink(missing_ok=True)


def _convert(file: File | None, storage: Storage, is_running: Check, step: Step) -> bool:
    if file is None or not storage.has_room():
        return False
    target = storage.temporary()

    def is_wanted() -> bool:
        return is_running() and storage.has_room() and _is_unchanged(file)

    try:
        step(file, media.probe(storage.original(file.uuid)), target, is_wanted)
    except Exception as error:
        if db.is_full(error):
            raise
        if isinstance(error, Cancelled) or not _is_unchanged(file):
            logger.info("Conversion of file %s was cancelled", file.uuid)
            _remove_if_deleted(file, storage)
            return storage.has_room()  # a retry waits for room
        if not isinstance(error, ServiceError):
            logger.exception("Conversion of file %s failed", file.uuid)
        _fail(file, str(error) if isinstance(error, ServiceError) else "Internal error", storage)
    finally:
        target.unlink(missing_ok=True)
    return True


def _unchanged(file: File) -> tuple[Any, ...]:
    """Return the conditions for a file not to have changed since its conversion began."""
    same_wav = File.samples.is_null(is_null=file.samples is None)
    return File.uuid == file.uuid, File.status == "converting", same_wav


def _is_unchanged(file: File) -> bool:
    return File.select().where(*_unchanged(file)).exists()


def _keep(
    file: File, storage: Storage, made: Path, target: Path, added_bytes: int, **values: object
) -> bool:
    """Place and record a converted file. Return False if the file was deleted meanwhile.

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
    """Fail the file, and the transcriptions that wait for its WAV.

    The original stays, for it may be the only copy. On a full disk any conversion may fail, so the
    file is tried again.
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
    """Remove what was placed after a deletion; no other file ever gets the same uuid."""
    if not File.select().where(File.uuid == file.uuid).exists():
        storage.delete(file.uuid)
