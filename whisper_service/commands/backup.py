"""A copy of all that the service keeps, made while it runs, and the way back."""

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from whisper_service import db
from whisper_service.errors import CommandError
from whisper_service.files import storage_folder
from whisper_service.files.storage import Storage, sync_folder

FOLDERS = ("files", "avatars")
ATTEMPTS = 5


def back_up(storage: Storage, target: Path) -> None:
    """Copy the database and all recordings into a folder that does not exist yet.

    Recordings are linked where that is possible: they never change, so the copy needs no room.
    Raises CommandError.
    """
    try:
        target.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise CommandError(f"{target} must be a new folder: {error.strerror}") from error
    try:
        _copy_all(storage, Storage(target))
    except BaseException as error:
        shutil.rmtree(target, ignore_errors=True)  # what is left must not pass for a backup
        if isinstance(error, OSError):
            raise CommandError(f"The backup failed: {error.strerror}") from error
        raise


def restore(source: Path, storage: Storage) -> None:
    """Bring a backup back into a storage folder that holds nothing yet. Raises CommandError."""
    if not (source / "service.db").is_file():
        raise CommandError(f"{source} holds no service.db")
    with storage.owned():
        if storage.database.exists() or storage.holds_recordings():
            raise CommandError(f"{storage.root} holds a service already: move it away first")
        try:
            _link_all(source, storage.root)
            os.sync()
            db.snapshot(source / "service.db", storage.database)
            storage_folder.make_private(storage.root)
            sync_folder(storage.root)
        except OSError as error:
            raise CommandError(
                f"{source} cannot be restored ({error.strerror}): empty {storage.root}, "
                "and do it again"
            ) from error


def _copy_all(storage: Storage, copy: Storage) -> None:
    unfinished = copy.database.with_name("unfinished.db")
    for _ in range(ATTEMPTS):
        # Files come and go meanwhile: those of the database's moment are there before or after.
        _link_all(storage.root, copy.root)
        db.snapshot(storage.database, unfinished)
        _link_all(storage.root, copy.root)
        if _remove_unknown(copy, unfinished):
            os.sync()  # all the folders, before there is the name that makes it a backup
            unfinished.replace(copy.database)
            sync_folder(copy.root)
            return
    raise CommandError("Recordings were deleted or converted all the while; try again")


def _link_all(source: Path, target: Path) -> None:
    for folder in FOLDERS:
        for parent, _, names in os.walk(source / folder):
            for name in names:
                path = Path(parent, name)
                _link(path, target / path.relative_to(source))


def _link(path: Path, copy: Path) -> None:
    """Link a file or copy it, if it is not there yet. One that was deleted just now is left out."""
    copy.parent.mkdir(mode=0o700, exist_ok=True)
    with suppress(FileNotFoundError, FileExistsError):
        try:
            os.link(path, copy)
        except (FileNotFoundError, FileExistsError):
            raise
        except OSError:  # another file system, or one without links
            if not copy.exists():
                _copy_bytes(path, copy)
        with suppress(OSError):  # on a file system without permissions
            storage_folder.restrict(copy)


def _copy_bytes(path: Path, copy: Path) -> None:
    part = copy.with_name(f"{copy.name}.part")
    shutil.copyfile(path, part)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(copy)


def _remove_unknown(copy: Storage, database: Path) -> bool:
    """Drop what the copied database does not know. Tell whether all that it knows is there."""
    with closing(sqlite3.connect(database)) as connection:
        files = connection.execute("SELECT uuid, status, samples FROM file").fetchall()
        avatars = connection.execute(
            "SELECT avatar_uuid FROM user WHERE avatar_uuid IS NOT NULL"
        ).fetchall()
    copy.sweep(
        {uuid: status == "ready" for uuid, status, _ in files}, {uuid for (uuid,) in avatars}
    )
    needed = [copy.avatar(uuid) for (uuid,) in avatars]
    for uuid, status, samples in files:
        needed += copy.needed(uuid, converted=status == "ready", heard=samples is not None)
    return all(path.is_file() for path in needed)
