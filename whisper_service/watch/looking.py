"""Looking at the watched folder: which recordings are in it, and which of them lie still."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import NamedTuple

from whisper_service.files.media_types import KNOWN_ENDINGS
from whisper_service.watch import folders

STILL_SECONDS = 10.0
# Of one look: files and folders of any kind, and folders in one another.
MAX_ENTRIES = 20_000
MAX_DEPTH = 16
_ENDINGS = tuple(KNOWN_ENDINGS)


class Stamp(NamedTuple):
    """The size in bytes and the time of the last change, by which a change is noticed."""

    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Stamp":
        # SQLite's integers have 64 bits; a file system's times may have more.
        return cls(status.st_size, status.st_mtime_ns % 2**63)


@dataclass
class Look:
    """What a look found. `recordings` are paths relative to the folder.

    `problem` is a sentence when there may be more than was found.
    """

    recordings: dict[str, Stamp] = field(default_factory=dict)
    entries: int = 0
    problem: str = ""


def look(root: Path) -> Look:
    """Find the recordings in a folder and those below it. Raises OSError if it cannot be read."""
    found, waiting = Look(), [""]
    while waiting and found.entries <= MAX_ENTRIES:
        path = waiting.pop()
        try:
            waiting += _look_into(root, path, found)
        except FileNotFoundError:  # deleted just now
            if not path:
                raise
        except OSError as error:
            if not path:
                raise
            found.problem = f"A folder in it cannot be read: {error.strerror}"
    return found


def _look_into(root: Path, path: str, found: Look) -> Iterator[str]:
    """Add the recordings of a folder to what was found; yield the folders in it."""
    with folders.opened_folder(root, PurePath(path)) as folder, os.scandir(folder) as entries:
        for entry in entries:
            found.entries += 1
            inner = f"{path}/{entry.name}" if path else entry.name
            if found.entries > MAX_ENTRIES or inner.count("/") >= MAX_DEPTH:
                found.problem = (
                    f"What is beyond {MAX_ENTRIES} files, or {MAX_DEPTH} folders in one another, "
                    "is not transcribed"
                )
                return
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield inner
            elif entry.is_file(follow_symlinks=False) and _is_recording(entry.name):
                with suppress(FileNotFoundError):  # deleted just now
                    found.recordings[inner] = Stamp.of(entry.stat(follow_symlinks=False))


def _is_recording(name: str) -> bool:
    """Return whether a name is one of a recording, so not of a result or an unfinished download."""
    return name.lower().endswith(_ENDINGS)


class Stillness:
    """Remembers since when each recording has been as it is."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[Stamp, float]] = {}

    def update(self, recordings: Mapping[str, Stamp], now: float) -> set[str]:
        """Return the recordings that are as they were at the last look, and for STILL_SECONDS."""
        before, self._since = self._since, {}
        still = set()
        for path, stamp in recordings.items():
            known = before.get(path)
            is_same = known is not None and known[0] == stamp
            # Not later than now, for the clock may be set back.
            since = min(now, known[1] if known and is_same else stamp.mtime_ns / 1e9)
            self._since[path] = stamp, since
            if is_same and now - since >= STILL_SECONDS:
                still.add(path)
        return still
