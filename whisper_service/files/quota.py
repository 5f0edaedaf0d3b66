"""The disk space that a user's recordings, and what is made of them, may take."""

from typing import Any

from peewee import fn

from whisper_service.errors import ServiceError
from whisper_service.tables import File, Upload

BYTES_PER_SAMPLE, WAV_HEADER_BYTES = 2, 44
# Of one file: what a download returns, and the WAV if there is one.
STORED_BYTES: Any = File.size_bytes + fn.COALESCE(
    BYTES_PER_SAMPLE * File.samples + WAV_HEADER_BYTES, 0
)


class StorageQuotaExceeded(ServiceError):
    """A user would exceed the storage quota."""


def wav_bytes(samples: int) -> int:
    return BYTES_PER_SAMPLE * samples + WAV_HEADER_BYTES


def stored_bytes(file: File) -> int:
    return file.size_bytes + (wav_bytes(file.samples) if file.samples else 0)


def used_bytes(user_id: int) -> int:
    """Return the bytes that a user has on disk. The query is answered from an index alone."""
    total = File.select(fn.COALESCE(fn.SUM(STORED_BYTES), 0)).where(File.user_id == user_id)
    used: int = total.scalar()
    return used


def reserved_bytes(user_id: int) -> int:
    """Return the declared bytes of a user's unfinished resumable uploads."""
    total = Upload.select(fn.COALESCE(fn.SUM(Upload.size_bytes), 0)).where(
        Upload.user_id == user_id, Upload.file_uuid.is_null(), Upload.error.is_null()
    )
    reserved: int = total.scalar()
    return reserved


def check(user_id: int, added_bytes: int, quota_bytes: int) -> None:
    """Raise StorageQuotaExceeded if `added_bytes` exceed a user's quota; 0 is no quota.

    Runs in the transaction that adds them, so that one of two concurrent uploads is rejected.
    """
    if not quota_bytes or added_bytes <= 0:
        return
    if used_bytes(user_id) + reserved_bytes(user_id) + added_bytes > quota_bytes:
        raise StorageQuotaExceeded(
            f"The recording and what is made of it exceed the storage quota of {quota_bytes} bytes"
        )
