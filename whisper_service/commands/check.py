"""Checking that the database is sound and that all recordings are there."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from blake3 import blake3
from peewee import DatabaseError

from whisper_service import billing, db
from whisper_service.config import Config
from whisper_service.db import database
from whisper_service.errors import CommandError
from whisper_service.files import storage_folder
from whisper_service.files.storage import Storage, StoredFile, find_storage
from whisper_service.tables import File, Upload, User

BYTES_PER_SAMPLE = 2


def run(settings: Config) -> None:
    """Print the problems of the database and the recordings. Raises CommandError if any."""
    storage = find_storage(settings.storage.path)
    db.open_database(storage.database, create=False, migrate=False)
    found = list(find_problems(storage))
    for line in found:
        print(line)
    if found:
        word = "problem" if len(found) == 1 else "problems"
        raise CommandError(f"{len(found)} {word}; a recent backup may have what is missing")
    print("No problems found.")


def find_problems(storage: Storage) -> Iterator[str]:
    """Yield a line for each problem. The service may be running."""
    try:
        yield from _database_problems()
        yield from billing.find_wrong_balances()
        # Lists, since an open query keeps the write-ahead log from being emptied.
        files: Iterable[File] = list(File.select())
        users: Iterable[User] = list(User.select().where(User.avatar_uuid.is_null(is_null=False)))
        for file in files:
            yield from _lasting_problems(file, storage)
        for upload in list(Upload.select()):
            if storage.uploads.size(upload.uuid) > upload.size_bytes:
                yield f"Upload {upload.uuid} has more bytes than were declared"
        for user in users:
            if not storage.avatar(str(user.avatar_uuid)).is_file():
                yield f"The avatar of {user.username} is missing"
        yield from _permissions(storage.root)
    except (
        DatabaseError,
        sqlite3.DatabaseError,
    ) as error:  # Peewee's, or sqlite3's while rows are read
        yield f"The database is damaged: {error}"


def _database_problems() -> Iterator[str]:
    for pragma in ("integrity_check", "foreign_key_check"):
        rows = database.execute_sql(f"PRAGMA {pragma}").fetchall()  # type: ignore[no-untyped-call]
        for row in rows:
            line = " ".join(" ".join(map(str, row)).split())
            if line != "ok":
                yield f"The database is damaged: {pragma}: {line}"


def _permissions(root: Path) -> Iterator[str]:
    if count := sum(1 for _ in storage_folder.exposed(root)):
        yield f"Other users have access to files or folders ({count}): chmod -R go= {root}"


def _lasting_problems(file: File, storage: Storage) -> list[str]:
    """Return a file's problems that are still there when it is read again.

    It may have been deleted or converted meanwhile.
    """
    found = list(_file_problems(file, storage))
    if found:
        now = File.get_or_none(File.id == file.id)
        found = list(_file_problems(now, storage)) if now else []
    return found


def _file_problems(file: File, storage: Storage) -> Iterator[str]:
    stored = StoredFile(file.uuid, file.status == "ready", file.samples is not None)
    required = storage.required_paths(stored)
    sizes = {path: _size(path) for path in required}
    for path, size in sizes.items():
        if size is None:
            yield f"File {file.uuid}: {path.name} is missing"
    download, speech = required[0], storage.speech(file.uuid)
    if sizes[download] not in {None, file.size_bytes}:
        yield f"File {file.uuid}: {download.name} does not have its recorded size"
    elif not stored.is_converted and sizes[download] is not None and _hash(download) != file.hash:
        yield f"File {file.uuid}: {download.name} differs from the upload"
    wav_size = sizes.get(speech)
    if wav_size is not None and wav_size < BYTES_PER_SAMPLE * (file.samples or 0):
        yield f"File {file.uuid}: {speech.name} is truncated"


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _hash(path: Path) -> str | None:
    with suppress(FileNotFoundError):  # deleted just now
        return blake3().update_mmap(path).hexdigest()
    return None
