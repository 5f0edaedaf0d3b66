"""Reading a recording of the watched folder into the storage."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from whisper_service.errors import Cancelled
from whisper_service.files.storage import IncomingFile, Storage
from whisper_service.watch import folders, records
from whisper_service.watch.looking import Stamp
from whisper_service.watch.records import Changed, Recording

BLOCK_BYTES = 1024**2
UNREADABLE = "It cannot be read"


@contextmanager
def opened(recording: Recording, root: Path) -> Iterator[int]:
    """Open a recording. Raises Delayed when it cannot be read, Changed when it is gone."""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(folders.opened_folder(root, recording.folder))
            source = stack.enter_context(folders.opened_file(recording.name, folder))
        except OSError as error:
            raise records.obstacle(UNREADABLE, error) from error
        yield source


@contextmanager
def received(
    source: int,
    recording: Recording,
    storage: Storage,
    max_bytes: int,
    is_wanted: Callable[[], bool],
) -> Iterator[IncomingFile]:
    """Copy an open recording into the storage, where it is temporary until it is placed.

    Raises Changed when it is no longer as it was seen, StorageFull, Delayed when it cannot be read,
    Cancelled once `is_wanted`, asked for each block, returns False.
    """
    incoming = storage.receive(max_bytes)
    try:
        while (block := _read(source)) and incoming.size <= recording.stamp.size:
            if not is_wanted():
                raise Cancelled
            incoming.write(block)
        if Stamp.of(os.fstat(source)) != recording.stamp or incoming.size != recording.stamp.size:
            raise Changed("It changed while it was read")
        yield incoming
    finally:
        incoming.discard()


def _read(source: int) -> bytes:
    try:
        return os.read(source, BLOCK_BYTES)
    except OSError as error:
        raise records.obstacle(UNREADABLE, error) from error
