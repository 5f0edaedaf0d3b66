"""Faults in what the service does on a full disk."""

from collections.abc import Callable

from tests.support.waiting import until
from whisper_service import db
from whisper_service.files import conversions, transcoding
from whisper_service.files.storage import Storage
from whisper_service.tables import File


def blame_the_file() -> None:
    """Report a recording that found no room as one that cannot be decoded."""
    has_room = Storage.has_room
    Storage.has_room = lambda storage, size=0: size == 0 or has_room(storage, size)
    transcoding.NO_ROOM.clear()
    fail = conversions._fail

    def with_room(file: File, message: str, storage: Storage) -> None:
        for left in storage.temporary_folder.iterdir():
            left.unlink()
        until(lambda: has_room(storage), 5)  # the kernel frees what was deleted a little later
        fail(file, message, storage)

    conversions._fail = with_room


def blame_the_service() -> None:
    db.is_full = lambda _error: False


FAULTS: dict[str, Callable[[], None]] = {
    "full disk fails files": blame_the_file,
    "full disk is an accident": blame_the_service,
}
