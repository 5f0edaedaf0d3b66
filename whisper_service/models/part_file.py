"""Part files: a model file is `NAME.bin.part`, and locked, until it is complete."""

import fcntl
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from whisper_service.errors import CommandError


def say(line: str) -> None:
    """Print a line to the terminal."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def path_of(target: Path) -> Path:
    """Return where `target` is written until it is complete."""
    return target.with_name(f"{target.name}.part")


@contextmanager
def locked(target: Path) -> Iterator[io.FileIO]:
    """Open the part file of `target`, with its previous content, for this process alone.

    If the block fails, the content stays, so that the next attempt can resume; an empty part file
    is removed. Raises CommandError while another process holds it, or if it cannot be written.
    """
    path = path_of(target)
    with _disk_errors(target.name):
        target.parent.mkdir(parents=True, exist_ok=True)
        file = _open_locked(path)
    with file:
        try:
            with _disk_errors(target.name):
                yield file
        finally:
            if os.fstat(file.fileno()).st_size == 0:
                path.unlink(missing_ok=True)


def place(file: io.FileIO, target: Path) -> None:
    """Rename the locked part file to its final name, safely even in a crash."""
    os.fsync(file.fileno())
    path_of(target).replace(target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def clear(file: io.FileIO) -> None:
    """Empty the part file."""
    file.truncate(0)
    file.seek(0)


def _open_locked(path: Path) -> io.FileIO:
    while True:
        file = io.FileIO(path, "r+", opener=_create)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise CommandError(f"Another process is already downloading {path.stem}") from None
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
        file.close()  # the other process finished between open and lock, and has renamed that file


def _create(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT, 0o644)


@contextmanager
def _disk_errors(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CommandError(
            f"{name} cannot be written to the models folder: {error.strerror}"
        ) from None
