"""What is remembered of each recording in the watched folder, over restarts."""

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

from whisper_service.db import database, write_transaction
from whisper_service.errors import ServiceError
from whisper_service.files import filenames
from whisper_service.tables import Watched
from whisper_service.watch.looking import MAX_ENTRIES, Look, Stamp

# In a line of the log: enough to find a file by, whatever somebody put into its name.
MAX_SHOWN = 40
BATCH_SIZE = 500

# Peewee takes three times as long to read thousands of rows.
_ALL, _ = Watched.select().sql()

logger = logging.getLogger(__name__)


class Delayed(ServiceError):
    """A recording that cannot be transcribed now. It is tried again later."""


class Changed(ServiceError):
    """A recording that changed, or was deleted, since it was looked at."""


@dataclass(frozen=True)
class Recording:
    """A recording as it is now, with how far it has come. `path` is relative to the folder.

    `error` is what was reported last. With `is_done` nothing more happens until it changes.
    `results` are the BLAKE3 hashes of all results that the service wrote for it.
    """

    path: str
    stamp: Stamp
    file_uuid: str | None = None
    transcription_uuid: str | None = None
    error: str | None = None
    is_done: bool = False
    results: tuple[str, ...] = ()

    @property
    def folder(self) -> PurePath:
        return PurePath(self.path).parent

    @property
    def name(self) -> str:
        return PurePath(self.path).name

    @property
    def title(self) -> str:
        """The name as text, also if its bytes are not."""
        return os.fsencode(self.name).decode(errors="replace")

    @property
    def stem(self) -> PurePath:
        """The path without its ending, which its results have in common with it."""
        return PurePath(self.path).with_suffix("")

    @property
    def shown(self) -> str:
        """How the log names it: without folders, and not longer than MAX_SHOWN."""
        return filenames.clean(self.title)[:MAX_SHOWN]

    @property
    def is_queued(self) -> bool:
        return self.transcription_uuid is not None and not self.is_done


def current(found: Look) -> list[Recording]:
    """Return the recordings that were found, the oldest first, with what is known of them.

    Those that are gone are forgotten. If nothing was found at all, the disk may not be mounted.
    """
    rows = database.execute_sql(_ALL)  # type: ignore[no-untyped-call]
    known = {each.path: each for each in map(_recording, rows)}
    if found.entries and not found.problem:
        _forget(known.keys() - found.recordings.keys())
    recordings = [
        _current(path, stamp, known.get(path))
        for path, stamp in found.recordings.items()
        if path in known or len(known) < MAX_ENTRIES
    ]
    return sorted(recordings, key=lambda each: each.stamp.mtime_ns)


def _current(path: str, stamp: Stamp, known: Recording | None) -> Recording:
    """Return what is known of a recording; of one that changed, the results alone."""
    if known and known.stamp == stamp:
        return known
    return Recording(path, stamp, results=known.results if known else ())


def save(recording: Recording) -> None:
    with write_transaction():
        save_in_transaction(recording)


def save_in_transaction(recording: Recording) -> None:
    Watched.replace(  # type: ignore[no-untyped-call]
        path=os.fsencode(recording.path),
        size=recording.stamp.size,
        mtime_ns=recording.stamp.mtime_ns,
        file_uuid=recording.file_uuid,
        transcription_uuid=recording.transcription_uuid,
        error=recording.error,
        is_done=recording.is_done,
        results=" ".join(recording.results),
    ).execute()


def report(recording: Recording, error: ServiceError) -> None:
    """Log and record why a recording is not transcribed, unless that was its last error already.

    Unless it is `Delayed`, it is done.
    """
    # A step may have come further than `recording`.
    row = Watched.select().where(Watched.path == os.fsencode(recording.path)).tuples().first()
    recording = _current(recording.path, recording.stamp, _recording(row) if row else None)
    reported = replace(recording, error=str(error), is_done=not isinstance(error, Delayed))
    if reported != recording:
        logger.warning("Watched folder: %s: %s", recording.shown, error)
        save(reported)


def obstacle(text: str, error: OSError) -> ServiceError:
    """Return what to raise for an error of the folder's file system."""
    if isinstance(error, FileNotFoundError):
        return Changed("It was deleted")
    return Delayed(f"{text}: {error.strerror}")


def _forget(paths: Iterable[str]) -> None:
    keys = [os.fsencode(path) for path in paths]
    for start in range(0, len(keys), BATCH_SIZE):
        with write_transaction():
            Watched.delete().where(Watched.path.in_(keys[start : start + BATCH_SIZE])).execute()


def _recording(row: Any) -> Recording:  # noqa: ANN401 - the values of a row
    path, *stamp, file_uuid, transcription_uuid, error, is_done, results = row
    return Recording(
        os.fsdecode(path),
        Stamp(*stamp),
        file_uuid,
        transcription_uuid,
        error,
        bool(is_done),
        tuple(results.split()),
    )
