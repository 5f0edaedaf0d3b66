"""Copying all that the service stores, while it runs, and restoring it."""

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path

from whisper_service import db
from whisper_service.config import Config
from whisper_service.errors import CommandError
from whisper_service.files import inventory, storage_folder
from whisper_service.files.storage import Storage, find_storage, sync_folder

FOLDERS = ("files", "avatars")
ATTEMPTS = 5


def run(settings: Config, folder: Path) -> None:
    back_up(find_storage(settings.storage.path), folder)
    print(f"Backed up to {folder}.")


def run_restore(settings: Config, folder: Path) -> None:
    restore(folder, Storage(settings.storage.path))
    print(f"Restored to {settings.storage.path}.")


def back_up(storage: Storage, target: Path) -> None:
    """Copy the database and all recordings into a folder that does not exist yet.

    Recordings never change, so on the same file system they are linked and take no room. What was
    received of unfinished resumable uploads is left out: restored, they begin again. Raises
    CommandError.
    """
    try:
        target.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise CommandError(f"{target} must be a new folder: {error.strerror}") from error
    try:
        _copy_all(storage, Storage(target))
    except BaseException as error:
        shutil.rmtree(target, ignore_errors=True)  # an incomplete copy must not pass for a backup
        if isinstance(error, OSError):
            raise CommandError(f"The backup failed: {error.strerror}") from error
        raise


def restore(source: Path, storage: Storage) -> None:
    """Copy a backup into an empty storage folder. Raises CommandError."""
    if not (source / "service.db").is_file():
        raise CommandError(f"{source} holds no service.db")
    with storage.owned():
        if storage.database.exists() or storage.holds_recordings():
            raise CommandError(f"{storage.root} already holds a service: move it away first")
        try:
            _link_all(source, storage.root)
            os.sync()
            db.snapshot(source / "service.db", storage.database)
            storage_folder.make_private(storage.root)
            sync_folder(storage.root)
        except OSError as error:
            raise CommandError(
                f"{source} cannot be restored ({error.strerror}): empty {storage.root} and "
                "try again"
            ) from error


def _copy_all(storage: Storage, copy: Storage) -> None:
    unfinished = copy.database.with_name("unfinished.db")
    for _ in range(ATTEMPTS):
        # Files come and go meanwhile: what the copied database knows is there before or after.
        _link_all(storage.root, copy.root)
        db.snapshot(storage.database, unfinished)
        _link_all(storage.root, copy.root)
        if _remove_unknown(copy, unfinished):
            os.sync()  # all folders, before the database makes it a backup
            unfinished.replace(copy.database)
            sync_folder(copy.root)
            return
    raise CommandError("Recordings kept being deleted or converted; try again")


def _link_all(source: Path, target: Path) -> None:
    for folder in FOLDERS:
        for parent, _, names in os.walk(source / folder):
            for name in names:
                path = Path(parent, name)
                _link(path, target / path.relative_to(source))


def _link(path: Path, copy: Path) -> None:
    """Link or copy a file unless the copy exists. One that was just deleted is left out."""
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
    """Remove what the copied database does not know. Return whether all that it knows is there."""
    with closing(sqlite3.connect(database)) as connection:
        files, avatars, _ = inventory.list_stored(connection)
    copy.sweep(files, avatars)
    required = [copy.avatar(uuid) for uuid in avatars]
    required += chain.from_iterable(map(copy.required_paths, files))
    return all(path.is_file() for path in required)
