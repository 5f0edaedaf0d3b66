"""A user's files: listing, renaming, deleting and downloading them."""

from typing import BinaryIO

from whisper_service import billing, credentials
from whisper_service.db import write_transaction
from whisper_service.errors import InvalidRequest, NotFound
from whisper_service.files import filenames, media_types
from whisper_service.files.storage import Storage
from whisper_service.pagination import Page, newest_first
from whisper_service.tables import UNFINISHED, File, Transcription, User


def find_owned(user: User, uuid: str) -> File:
    """Return a file that the user owns. Raises NotFound."""
    file = File.get_or_none(File.uuid == uuid, File.user_id == user.id)
    if file is None:
        raise NotFound("File not found or access denied")
    return file


def list_owned(user: User, page: int, limit: int) -> Page[File]:
    return newest_first(File.select().where(File.user_id == user.id), File.id, page, limit)


def find(uuid: str) -> File:
    """Return a file, whoever owns it. Raises NotFound."""
    file = File.get_or_none(File.uuid == uuid)
    if file is None:
        raise NotFound("File not found or access denied")
    return file


def rename(user: User, uuid: str, filename: str) -> tuple[str, str]:
    """Rename a file; return the old name and the new one as stored.

    Raises NotFound, Unauthenticated for credentials that were revoked meanwhile, InvalidRequest for
    a name that is empty or longer than 255 characters.
    """
    clean = filenames.clean(filename)
    if not clean or len(filename) > filenames.MAX_LENGTH:
        raise InvalidRequest("Filename must be between 1 and 255 characters")
    with write_transaction():
        file = find_owned(credentials.confirm(user), uuid)
        File.update(filename=clean).where(File.uuid == file.uuid).execute()
    return file.filename, clean


def delete(user: User, uuid: str, storage: Storage) -> File:
    """Delete a file that the user owns and everything made of it.

    Raises NotFound, Unauthenticated for credentials that were revoked meanwhile. Its unfinished
    transcriptions fail, and tokens for what is not transcribed yet are refunded. Completed ones
    stay.
    """
    with write_transaction():
        file = find_owned(credentials.confirm(user), uuid)
        belongs = Transcription.file_uuid == file.uuid
        for row in list(
            Transcription.select().where(belongs, Transcription.status == "processing")
        ):
            billing.refund_rest(row)
        Transcription.update(status="failed", error="File deleted").where(
            belongs, Transcription.status.in_(UNFINISHED)
        ).execute()
        File.delete().where(File.uuid == file.uuid).execute()
    storage.delete(file.uuid)
    return file


def open_download(uuid: str, storage: Storage) -> tuple[File, BinaryIO]:
    """Open the converted copy of a file, or the original until there is one.

    Raises NotFound for a file that has no row, or none on disk.
    """
    for _ in range(2):  # the conversion may end between reading the row and opening the file
        file = find(uuid)
        path = storage.converted(uuid) if file.status == "ready" else storage.original(uuid)
        try:
            return file, path.open("rb")
        except FileNotFoundError:
            continue
    raise NotFound("File not found on disk")


def download_name(file: File) -> str:
    """Return the file's name with the extension of its current format."""
    stem, dot, ending = file.filename.rpartition(".")
    known = dot + ending.lower() in media_types.KNOWN_ENDINGS
    return (stem if known and stem else file.filename) + media_types.ENDINGS[file.content_type]
