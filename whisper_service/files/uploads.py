"""Storing uploads: from received bytes to a user's file."""

import os
import threading
import time
from typing import Any

from whisper_service import credentials, ids
from whisper_service.db import write_transaction
from whisper_service.errors import ServiceError
from whisper_service.files import ffmpeg, filenames, media, quota
from whisper_service.files.media import Media
from whisper_service.files.storage import IncomingFile, Storage
from whisper_service.tables import File, User

# A probe runs ffmpeg, which keeps a core busy for a while: at most one per core at once.
_probes = threading.Semaphore(os.cpu_count() or 1)

QUOTA_EXCEEDED = "quota_exceeded"  # the code of that error


class RejectedFile(ServiceError):
    """An upload that is not stored. `code` is the machine-readable reason."""

    status = 400
    code: str

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def store(user: User, incoming: IncomingFile, filename: str, storage: Storage) -> tuple[File, bool]:
    """Store an upload; return its file, and whether the user already had the same bytes.

    On return the bytes are safe on disk and known to be media; the conversion follows later. A file
    whose conversion failed before is tried again. Raises RejectedFile, or Unauthenticated when the
    account was deleted.
    """
    reject_bad_size(incoming)
    incoming.close()
    known = _find_same(user, incoming.hash)
    if known and known.status != "failed":
        return known, True
    probed = _probe(incoming)
    return _keep(user, incoming, filename, probed, storage)


def reject_bad_size(incoming: IncomingFile) -> None:
    """Raise RejectedFile for an upload that is empty, or larger than it may be."""
    if incoming.size == 0:
        raise RejectedFile("empty_file", "The file is empty")
    if incoming.too_large:
        raise RejectedFile("file_too_large", f"The file is larger than {incoming.max_bytes} bytes")


def _probe(incoming: IncomingFile) -> Media:
    try:
        with _probes:
            return media.probe(incoming.path)
    except media.NoAudioStream as error:
        raise RejectedFile("no_audio_stream", str(error)) from error
    except (media.UnsupportedMedia, ffmpeg.MediaError) as error:
        raise RejectedFile("unsupported_content_type", "Unsupported content type") from error


def _find_same(user: User, digest: str) -> File | None:
    return File.get_or_none(File.user_id == user.id, File.hash == digest)


def _keep(
    user: User, incoming: IncomingFile, filename: str, probed: Media, storage: Storage
) -> tuple[File, bool]:
    """Place and record the upload, unless the user has the same file by now.

    In one transaction: what was read before may have changed.
    """
    new_uuid = ids.uuid7()
    try:
        with write_transaction():
            credentials.confirm(user)
            known = _find_same(user, incoming.hash)
            if known and known.status != "failed":
                return known, True
            # A failed file is replaced when it is uploaded again.
            replaced = quota.stored_bytes(known) if known else 0
            check_quota(user, incoming.size - incoming.reserved_bytes - replaced, storage)
            storage.place(incoming.path, storage.original(known.uuid if known else new_uuid))
            if known:
                File.update(**_values(incoming, probed)).where(File.uuid == known.uuid).execute()
                return known, False
            return _create(new_uuid, user, incoming, filename, probed), False
    except BaseException:
        storage.delete(new_uuid)
        raise


def check_quota(user: User, added_bytes: int, storage: Storage) -> None:
    """Raise RejectedFile if `added_bytes` exceed the user's quota. Runs in a transaction."""
    try:
        quota.check(user.id, added_bytes, storage.quota_bytes)
    except quota.StorageQuotaExceeded as error:
        raise RejectedFile(QUOTA_EXCEEDED, str(error)) from error


def _create(uuid: str, user: User, incoming: IncomingFile, filename: str, probed: Media) -> File:
    return File.create(
        uuid=uuid,
        user_id=user.id,
        hash=incoming.hash,
        filename=filenames.clean(filename) or "file",
        uploaded_at=int(time.time()),
        **_values(incoming, probed),
    )


def _values(incoming: IncomingFile, probed: Media) -> dict[str, Any]:
    """Return a file's columns before its conversion."""
    return {
        "status": "converting",
        "error": None,
        "samples": None,
        "kind": probed.kind,
        "content_type": probed.content_type,
        "size_bytes": incoming.size,
        "claimed_seconds": probed.length.seconds,
    }
