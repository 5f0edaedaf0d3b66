"""Resumable uploads: created with their size, received piece by piece, then stored as any file.

`Upload` rows say whose they are and how they ended; storage.uploads has the bytes.
"""

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from whisper_service import credentials, ids
from whisper_service.config import Config
from whisper_service.db import write_transaction
from whisper_service.errors import Conflict, NotFound, TooLarge, TooManyRequests
from whisper_service.files import uploads
from whisper_service.files.storage import Storage
from whisper_service.files.upload_folder import UploadWriter
from whisper_service.tables import File, Upload, User

RETRY_SECONDS = 60
REMEMBERED = 1000  # of the ended uploads of a user, until they expire
UNFINISHED: Any = Upload.file_uuid.is_null() & Upload.error.is_null()


@dataclass(frozen=True)
class NewUpload:
    """What a client declares. `metadata` is its header, of which `filename` is decoded."""

    size_bytes: int
    metadata: str
    filename: str


@dataclass(frozen=True)
class Piece:
    """What a request appends: where, and how many bytes, 0 if they are not known beforehand."""

    offset: int
    length: int


def create(user: User, new: NewUpload, config: Config, storage: Storage) -> Upload:
    """Create an upload without bytes.

    Raises TooLarge, StorageFull, RejectedFile beyond the storage quota, TooManyRequests beyond the
    limit of unfinished ones, Unauthenticated for credentials that were revoked meanwhile.
    """
    if new.size_bytes > config.storage.max_upload_bytes:
        raise TooLarge(f"The file is larger than {config.storage.max_upload_bytes} bytes")
    storage.ensure_room(new.size_bytes)
    with write_transaction():
        credentials.confirm(user)
        _check_unfinished(user, config.limits.uploads_per_user)
        uploads.check_quota(user, new.size_bytes, storage)
        _forget_oldest(user)
        row = Upload.create(
            uuid=ids.uuid7(), user_id=user.id, expires_at=_expiry(config), **vars(new)
        )
    storage.uploads.expect_expiry(row.expires_at)
    return row


def find(user: User, uuid: str) -> Upload:
    """Return an upload that the user owns. Raises NotFound."""
    row = Upload.get_or_none(Upload.uuid == uuid, Upload.user_id == user.id)
    if row is None:
        raise NotFound("Upload not found or access denied")
    return row


def offset(row: Upload, storage: Storage) -> int:
    """Return how many bytes of an upload were received."""
    return row.size_bytes if row.has_ended else storage.uploads.size(row.uuid)


def expires_at(row: Upload, config: Config, storage: Storage) -> int:
    """Return when an upload is removed: `upload_hours` after its last bytes, or its end."""
    _, received_at = storage.uploads.status(row.uuid)
    return row.expires_at if row.has_ended else max(row.expires_at, _expiry(config, received_at))


def check(row: Upload, piece: Piece, config: Config, storage: Storage) -> None:
    """Check that a piece continues an upload.

    Raises NotFound (410) if it has expired, RejectedFile if it ended so, Conflict for another
    offset, TooLarge for more than is left, StorageFull.
    """
    _check_expiry(row, config, storage)
    raise_rejection(row)
    received = offset(row, storage)
    if piece.offset != received:
        raise Conflict(f"Upload-Offset is {piece.offset}, but {received} bytes were received")
    if piece.length > row.size_bytes - received:
        raise TooLarge("The body is longer than the rest of the upload")
    storage.ensure_room(piece.length)


def open_writer(
    user: User, uuid: str, piece: Piece, config: Config, storage: Storage
) -> UploadWriter:
    """Return what appends a piece to an upload, instead of any request that did so before.

    Its caller closes it. Raises what `find` and `check` do.
    """
    find(user, uuid)
    writer = storage.uploads.take_over(uuid)
    try:
        row = find(user, uuid)  # a removal that the writer came too late for
        check(row, piece, config, storage)
        if row.has_ended:
            writer.offset = row.size_bytes
        else:
            writer.open(row.size_bytes)
    except BaseException:
        writer.close()
        raise
    return writer


def finish(user: User, uuid: str, config: Config, storage: Storage) -> Upload:
    """Store an upload that is complete but not stored, and return its row.

    Several requests may do so at once: the first to store it wins. Raises NotFound (410) if it has
    expired, and what `uploads.store` does, except for RejectedFile, which is recorded.
    """
    row = find(user, uuid)
    _check_expiry(row, config, storage)
    if row.has_ended or storage.uploads.size(uuid) < row.size_bytes:
        return row
    with suppress(FileNotFoundError):  # another request has just finished it
        _record(row, _store(user, row, storage), config)
        storage.uploads.remove(uuid)
    return find(user, uuid)


def raise_rejection(row: Upload) -> None:
    """Raise RejectedFile if an upload ended with it."""
    if row.error:
        raise uploads.RejectedFile(str(row.error_code), row.error)


def stored_file(row: Upload) -> File | None:
    """Return the file that an upload became."""
    return File.get_or_none(File.uuid == row.file_uuid) if row.file_uuid else None


def delete(user: User, uuid: str, storage: Storage) -> None:
    """Delete an upload with its bytes; a file that it became stays. Raises NotFound."""
    with write_transaction():
        row = find(credentials.confirm(user), uuid)
        Upload.delete().where(Upload.uuid == row.uuid).execute()
    storage.uploads.remove(row.uuid)


def _check_expiry(row: Upload, config: Config, storage: Storage) -> None:
    if expires_at(row, config, storage) <= time.time():
        raise NotFound("The upload has expired", 410)


def _store(user: User, row: Upload, storage: Storage) -> dict[str, Any]:
    """Store a complete upload, and return the columns of its end."""
    incoming = storage.receive_upload(row.uuid)
    try:
        file, existed = uploads.store(user, incoming, row.filename, storage)
    except uploads.RejectedFile as error:
        return {"error": str(error), "error_code": error.code}
    finally:
        incoming.discard()
    return {"file_uuid": file.uuid, "existed": int(existed)}


def _record(row: Upload, end: dict[str, Any], config: Config) -> None:
    """Record how an upload ended, unless another request has."""
    with write_transaction():
        Upload.update(expires_at=_expiry(config), **end).where(
            Upload.uuid == row.uuid, UNFINISHED
        ).execute()


def _expiry(config: Config, since: float | None = None) -> int:
    """Return when something of that time, or of now, expires."""
    hours = config.limits.upload_hours
    return int(time.time() if since is None else since) + 3600 * hours


def _check_unfinished(user: User, most: int) -> None:
    count = Upload.select().where(Upload.user_id == user.id, UNFINISHED).count()
    if count >= most:
        raise TooManyRequests(
            f"You have {count} unfinished uploads of at most {most}: finish or delete one",
            RETRY_SECONDS,
        )


def _forget_oldest(user: User) -> None:
    ended = Upload.select(Upload.uuid).where(Upload.user_id == user.id, ~UNFINISHED)
    oldest = ended.order_by(Upload.uuid.desc()).offset(REMEMBERED)
    Upload.delete().where(Upload.uuid.in_(oldest)).execute()
