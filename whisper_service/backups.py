"""A copy of all that the service keeps, made while it runs, and the way back."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from whisper_service import db
from whisper_service.errors import CommandError
from whisper_service.storage import Storage, sync_folder

FOLDERS = ("files", "avatars")
ATTEMPTS = 5


def back_up(storage: Storage, target: Path) -> None:
    """Copy the database and all recordings into a folder that does not exist yet.

    Recordings are linked where that is possible: they never change, so the copy needs no room.
    Raises CommandError.
    """
    if not storage.database.exists():
        raise CommandError(f"{storage.root} holds no service.db")
    try:
        target.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise CommandError(f"{target} must be a new folder: {error.strerror}") from error
    for _ in range(ATTEMPTS):
        # Files come and go meanwhile: those of the database's moment are there before or after.
        _link_all(storage.root, target)
        db.snapshot(storage.database, target / "service.db")
        _link_all(storage.root, target)
        if _remove_unknown(target):
            return
    raise CommandError("Recordings were deleted or converted all the while; try again")


def restore(source: Path, storage: Storage) -> None:
    """Bring a backup back into a storage folder that holds nothing yet. Raises CommandError."""
    if not (source / "service.db").is_file():
        raise CommandError(f"{source} holds no service.db")
    with storage.owned():
        if storage.database.exists() or storage.holds_recordings():
            raise CommandError(f"{storage.root} holds a service already: move it away first")
        _link_all(source, storage.root)
        db.snapshot(source / "service.db", storage.database)
        sync_folder(storage.root)


def _link_all(source: Path, target: Path) -> None:
    for folder in FOLDERS:
        (target / folder).mkdir(mode=0o700, exist_ok=True)
        for parent, _, names in os.walk(source / folder):
            for name in names:
                path = Path(parent, name)
                _link(path, target / path.relative_to(source))


def _link(path: Path, copy: Path) -> None:
    if copy.exists():
        return
    copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.link(path, copy)
    except FileNotFoundError:
        return  # deleted, or converted, just now
    except OSError:  # another file system, or one without links
        part = copy.with_name(f"{copy.name}.part")
        shutil.copyfile(path, part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(copy)


def _remove_unknown(target: Path) -> bool:
    """Drop what the copied database does not know. Tell whether all that it knows is there."""
    with closing(sqlite3.connect(target / "service.db")) as copy:
        files = dict(copy.execute("SELECT uuid, status FROM file"))
        avatars = {uuid for (uuid,) in copy.execute("SELECT avatar_uuid FROM user")}
    for folder in (target / "files").iterdir():
        if folder.name not in files:
            shutil.rmtree(folder)
    for picture in (target / "avatars").iterdir():
        if picture.stem not in avatars:
            picture.unlink()
    return all(
        (target / "files" / uuid / ("converted" if status == "ready" else "original")).is_file()
        for uuid, status in files.items()
    )
