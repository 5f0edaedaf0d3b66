"""Opening what lies in a folder that others may write to: no link is followed, nothing blocks."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath

_FOLDER = os.O_RDONLY | os.O_DIRECTORY
# Opening a FIFO or some devices would wait for another process.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY


@contextmanager
def opened_folder(root: Path, path: PurePath) -> Iterator[int]:
    """Open a folder by its path relative to `root`.

    Raises OSError, also for a symbolic link anywhere below `root`.
    """
    descriptor = os.open(root, _FOLDER)
    try:
        for name in path.parts:
            inner = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def opened_file(name: str, folder: int) -> Iterator[int]:
    """Open a file in an open folder. Raises OSError, also for anything but a regular file."""
    descriptor = os.open(name, _FILE, dir_fd=folder)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Not a regular file")
        yield descriptor
    finally:
        os.close(descriptor)
