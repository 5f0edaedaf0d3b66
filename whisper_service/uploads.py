"""From received bytes to a file of the user's."""

import os
import threading
import time

from peewee import IntegrityError

from whisper_service import filenames, ids, media
from whisper_service.db import write_transaction
from whisper_service.errors import ServiceError
from whisper_service.storage import IncomingFile, Storage
from whisper_service.tables import File, User

# A probe is an ffmpeg, which takes a core for a while: no more at once than there are cores.
_probes = threading.Semaphore(os.cpu_count() or 1)


class RejectedFile(ServiceError):
    """An upload that is not kept. `code` is the word for it in the answer."""

    status = 400
    code: str

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def store(user: User, incoming: IncomingFile, filename: str, storage: Storage) -> tuple[File, bool]:
    """Keep an upload, and tell whether the user had the same bytes before.

    When it returns, the bytes are safe on disk and known to be media; the conversion is still to
    come. A file that could not be converted before is tried again. Raises RejectedFile.
    """
    _reject_bad_size(incoming)
    incoming.close()
    known = _find_same(user, incoming.hash)
    if known and known.status != "failed":
        return known, True
    kind = _probe(incoming)
    if known:
        return _try_again(known, incoming, kind, storage), False
    return _add(user, incoming, filename, kind, storage)


def _reject_bad_size(incoming: IncomingFile) -> None:
    if incoming.size == 0:
        raise RejectedFile("empty_file", "The file is empty")
    if incoming.too_large:
        raise RejectedFile("file_too_large", f"The file is larger than {incoming.max_bytes} bytes")


def _probe(incoming: IncomingFile) -> media.Media:
    try:
        with _probes:
            return media.probe(incoming.path)
    except media.NoAudioStream as error:
        raise RejectedFile("no_audio_stream", str(error)) from error
    except (media.UnsupportedMedia, media.MediaError) as error:
        raise RejectedFile("unsupported_content_type", "Unsupported content type") from error


def _find_same(user: User, digest: str) -> File | None:
    return File.get_or_none(File.user_id == user.id, File.hash == digest)


def _add(
    user: User, incoming: IncomingFile, filename: str, kind: media.Media, storage: Storage
) -> tuple[File, bool]:
    uuid = ids.uuid7()
    try:
        storage.place(incoming.path, storage.original(uuid))
        with write_transaction():
            file = File.create(
                uuid=uuid,
                user_id=user.id,
                hash=incoming.hash,
                filename=filenames.clean(filename) or "file",
                kind=kind.kind,
                status="converting",
                content_type=kind.content_type,
                size_bytes=incoming.size,
                uploaded_at=int(time.time()),
            )
    except IntegrityError:
        storage.delete(uuid)
        winner = _find_same(user, incoming.hash)
        if winner is None:
            raise
        return winner, True
    except BaseException:
        storage.delete(uuid)
        raise
    return file, False


def _try_again(file: File, incoming: IncomingFile, kind: media.Media, storage: Storage) -> File:
    storage.place(incoming.path, storage.original(file.uuid))
    with write_transaction():
        File.update(
            status="converting",
            error=None,
            samples=None,
            kind=kind.kind,
            content_type=kind.content_type,
            size_bytes=incoming.size,
        ).where(File.id == file.id).execute()
    return file
