"""The files beside recordings that their transcripts are written to, whole or not at all."""

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from whisper_service import ids
from whisper_service.errors import CommandError
from whisper_service.files.storage import sync_folder
from whisper_service.transcripts.formats import FORMATS

# What `link` says on a file system without hard links, such as FAT.
NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}


def parse_formats(text: str) -> list[str]:
    """Return the formats of a list with spaces or commas, each once. Raises CommandError."""
    names = list(dict.fromkeys(text.replace(",", " ").split()))
    if not names:
        raise CommandError("At least one format must be specified")
    endings: dict[str, str] = {}
    for name in names:
        if name not in FORMATS:
            known = ", ".join(FORMATS)
            raise CommandError(f"Invalid format: {name}. Must be one of: {known}")
        other = endings.setdefault(FORMATS[name].ending, name)
        if other != name:
            raise CommandError(f"{other} and {name} have the same file name: choose one of them")
    return names


class ResultFiles:
    """Assigns a file to each result. `recordings` are the files that no result may replace."""

    def __init__(self, recordings: Iterable[Path], formats: Sequence[str], *, force: bool) -> None:
        self._recordings = {identity(path) for path in recordings}
        self._formats = formats
        self._force = force
        self._owners: dict[Path, Path] = {}

    def assign(self, recording: Path) -> dict[str, Path]:
        """Return the files for the results of a recording, by their formats.

        Raises CommandError if the recording cannot be read, or a result could not be written.
        """
        _check_readable(recording)
        assigned = {
            name: recording.with_name(f"{recording.stem}{FORMATS[name].ending}")
            for name in self._formats
        }
        for target in assigned.values():
            with _disk_errors(target):
                self._check(target)
        for target in assigned.values():
            self._owners[identity(target)] = recording
        return assigned

    def _check(self, target: Path) -> None:
        if owner := self._owners.get(identity(target)):
            raise CommandError(
                f"{target.name} is the result of {owner.name}: rename one of the two"
            )
        if identity(target) in self._recordings:
            raise CommandError(f"The result {target.name} would replace a recording")
        with suppress(FileNotFoundError):
            is_folder = stat.S_ISDIR(target.lstat().st_mode)
            if not self._force:
                raise _exists(target)
            if is_folder:
                raise CommandError(f"{target.name} is a folder")
        if not os.access(target.parent, os.W_OK | os.X_OK):
            raise CommandError(f"{target.name} cannot be written: no permission for its folder")


def identity(path: Path) -> Path:
    """Return a path that is the same for all spellings of a name in a folder."""
    return Path(os.path.realpath(path.parent), path.name)


def write(content: bytes, target: Path, *, force: bool) -> None:
    """Write a result, which gets its name when it is whole and safe on disk.

    Raises CommandError if it cannot be written, or, unless `force`, if the name is taken by now.
    """
    part = target.with_name(f".{ids.uuid7()}.part")
    place = part.replace if force else partial(_place, part)
    try:
        with _disk_errors(target), part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            place(target)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    with suppress(OSError):  # some file systems cannot do that, and the result is there
        sync_folder(target.parent)


def _place(part: Path, target: Path) -> None:
    """Rename a file. Raises FileExistsError when the name is taken."""
    try:
        target.hardlink_to(part)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        target.open("xb").close()  # reserves the name
        part.replace(target)


@contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    """Raise CommandError for what the disk refuses."""
    try:
        yield
    except FileExistsError:
        raise _exists(target) from None
    except OSError as error:
        raise CommandError(f"{target.name} cannot be written: {error.strerror}") from error


def _exists(target: Path) -> CommandError:
    return CommandError(f"{target.name} exists already; --force (make: FORCE=1) replaces it")


def _check_readable(recording: Path) -> None:
    try:
        status = recording.stat()
        if stat.S_ISDIR(status.st_mode):
            raise CommandError("It is a folder")
        if not stat.S_ISREG(status.st_mode):  # to open a pipe would take forever
            raise CommandError("It is not a file")
        with recording.open("rb"):
            pass
    except OSError as error:
        raise CommandError(str(error.strerror)) from error
    if status.st_size == 0:
        raise CommandError("The file is empty")
