"""The storage folder: which one may be used, and who may access it."""

import logging
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from whisper_service.errors import CommandError

_UUID = "[0-9a-f]{32}"
# The folders in it, with the names that the service uses in each.
FOLDERS = {
    "files": re.compile(_UUID),
    "uploads": re.compile(_UUID),
    "avatars": re.compile(rf"{_UUID}\.png(\.part)?"),
    # The second kind is Python's tempfile's, for large request bodies.
    "tmp": re.compile(rf"{_UUID}(\.timed)?|tmp[a-z0-9_]{{8}}"),
}
_FILES = re.compile(r"lock|write\.lock|(service(-v\d+)?|unfinished)\.db.*")
_MOUNTED = "lost+found"  # which every ext4 volume has
_OTHERS = stat.S_IRWXG | stat.S_IRWXO

logger = logging.getLogger(__name__)


def prepare(root: Path) -> None:
    """Create the folder and those in it.

    Raises CommandError if it cannot be written, or has no database and holds anything that the
    service did not create: a start would delete unknown files.
    """
    try:
        if root.exists() and not (root / "service.db").exists():
            _reject_foreign(root)
        for folder in (root, *map(root.joinpath, FOLDERS)):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"Cannot write to {root}: {error.strerror}") from error


def own_entries(folder: Path) -> Iterator[Path]:
    """Return the entries of one of FOLDERS whose names the service uses."""
    return (path for path in folder.iterdir() if FOLDERS[folder.name].fullmatch(path.name))


def make_private(root: Path) -> None:
    """Remove other users' permissions for the folder, the folders in it and the database.

    That makes everything deeper inaccessible, so it is left as it is: with 100,000 recordings a
    start would take 16 s longer, and 8 s even if nothing had to change.
    """
    own = [path for path in root.iterdir() if path.name in FOLDERS or _FILES.fullmatch(path.name)]
    for path in (root, *own):
        try:
            restrict(path)
        except FileNotFoundError:  # the database's log goes when a command closes it
            continue
        except OSError as error:  # another user's, or on a file system without permissions
            logger.warning("Other users still have access to %s: %s", path.name, error.strerror)


def restrict(path: Path) -> None:
    """Remove other users' permissions for a file or folder. Raises OSError."""
    mode = path.stat().st_mode
    if mode & _OTHERS:
        path.chmod(0o700 if stat.S_ISDIR(mode) else 0o600)


def exposed(root: Path) -> Iterator[Path]:
    """Yield each file and folder that other users have any permission for."""
    inside = (Path(at, name) for at, *names in os.walk(root) for name in chain(*names))
    for path in chain([root.resolve()], inside):
        with suppress(FileNotFoundError):  # deleted just now
            mode = path.lstat().st_mode
            if mode & _OTHERS and not stat.S_ISLNK(mode):
                yield path


def _reject_foreign(root: Path) -> None:
    for path in _foreign_entries(root):
        raise CommandError(
            f"{root} is not a storage folder: it holds {path.relative_to(root)}. [storage] path in "
            "config.toml must be a folder that is new, empty or the service's own"
        )


def _foreign_entries(root: Path) -> Iterator[Path]:
    for path in root.iterdir():
        if pattern := FOLDERS.get(path.name):
            for entry in path.iterdir():
                if not pattern.fullmatch(entry.name) and entry.name != _MOUNTED:
                    yield entry
        elif not _FILES.fullmatch(path.name) and path.name != _MOUNTED:
            yield path
