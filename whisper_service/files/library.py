"""The user's side of files that were uploaded."""

from typing import BinaryIO

from whisper_service import billing
from whisper_service.db import write_transaction
from whisper_service.errors import InvalidRequest, NotFound
from whisper_service.files import filenames, media_types
from whisper_service.files.storage import Storage
from whisper_service.pagination import Page, newest_first
from whisper_service.tables import UNFINISHED, File, Transcription, User


def find_owned(user: User, uuid: str) -> File:
    """Find a file of the user's own. Raises NotFound."""
    file = File.get_or_none(File.uuid == uuid, File.user_id == user.id)
    if file is None:
        raise NotFound("File not found or access denied")
    return file


def list_owned(user: User, page: int, limit: int) -> Page[File]:
    return newest_first(File.select().where(File.user_id == user.id), File.id, page, limit)


def find(uuid: str) -> File:
    """Find anybody's file. Raises NotFound."""
    file = File.get_or_none(File.uuid == uuid)
    if file is None:
        raise NotFound("File not found or access denied")
    return file


def rename(user: User, uuid: str, filename: str) -> tuple[str, str]:
    """Give a file another name; return the old one and the new one as it was kept.

    Raises NotFound, or InvalidRequest for a name that is empty or longer than 255 characters.
    """
    clean = filenames.clean(filename)
    if not clean or len(filename) > filenames.MAX_LENGTH:
        raise InvalidRequest("Filename must be between 1 and 255 characters")
    with write_transaction():
        file = find_owned(user, uuid)
        File.update(filename=clean).where(File.uuid == file.uuid).execute()
    return file.filename, clean


def delete(user: User, uuid: str, storage: Storage) -> File:
    """Delete a file of the user's own with all that was made of it. Raises NotFound.

    Its transcriptions that wait or run fail, with tokens given back for what is not transcribed;
    finished ones stay.
    """
    with write_transaction():
        file = find_owned(user, uuid)
        of_it = Transcription.file_uuid == file.uuid
        for row in list(Transcription.select().where(of_it, Transcription.status == "processing")):
            billing.refund_rest(row)
        Transcription.update(status="failed", error="File deleted").where(
            of_it, Transcription.status.in_(UNFINISHED)
        ).execute()
        File.delete().where(File.uuid == file.uuid).execute()
    storage.delete(file.uuid)
    return file


def open_download(uuid: str, storage: Storage) -> tuple[File, BinaryIO]:
    """Open what a download of the file returns: the converted copy, or the original until then.

    Raises NotFound for a file that has no row, or none on disk.
    """
    for _ in range(2):  # between the look at the row and the opening the conversion may end
        file = find(uuid)
        path = storage.converted(uuid) if file.status == "ready" else storage.original(uuid)
        try:
            return file, path.open("rb")
        except FileNotFoundError:
            continue
    raise NotFound("File not found on disk")


def download_name(file: File) -> str:
    """Name a download after the file, with the ending of what its bytes are."""
    stem, dot, ending = file.filename.rpartition(".")
    known = dot + ending.lower() in media_types.KNOWN_ENDINGS
    return (stem if known and stem else file.filename) + media_types.ENDINGS[file.content_type]
