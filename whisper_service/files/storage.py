"""Where recordings lie on disk, and how they get there whole or not at all.

    files/<uuid>/original     the bytes that were uploaded, until they are converted
    files/<uuid>/converted    MP3 or MP4: what a download returns
    files/<uuid>/speech.wav   16 kHz, mono, s16le: what Whisper hears
    avatars/<uuid>.png        square, 256 pixels
    tmp/                      uploads and conversions under way, and what is being deleted

No name in here comes from a user.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from blake3 import blake3

from whisper_service import ids
from whisper_service.errors import CommandError, StorageFull
from whisper_service.files import storage_folder


class IncomingFile:
    """An upload on its way to disk, hashed as it is written.

    Beyond `max_bytes` nothing more is written, and `too_large` says so. `has_room` tells whether
    the disk has room for so many bytes.
    """

    def __init__(self, path: Path, max_bytes: int, has_room: Callable[[int], bool]) -> None:
        self.path = path
        self.size = 0
        self.max_bytes = max_bytes
        self._has_room = has_room
        self._hash = blake3()
        self._file = path.open("xb")

    @property
    def too_large(self) -> bool:
        return self.size > self.max_bytes

    @property
    def hash(self) -> str:
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Append bytes. Raises StorageFull where they would use the reserve."""
        self.size += len(data)
        if self.too_large:
            return
        if not self._has_room(len(data)):
            raise StorageFull("The server's disk is full")
        self._hash.update(data)
        self._file.write(data)

    def close(self) -> None:
        """Bring the bytes to disk."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def discard(self) -> None:
        with suppress(OSError):  # on a full disk what is in the buffer has no place to go
            self._file.close()
        self.path.unlink(missing_ok=True)


class Storage:
    """A folder that one running service owns. Raises CommandError for one that cannot be used.

    `reserve_bytes` are to stay free, `quota_bytes` are what one user may have; 0 is no limit.
    """

    def __init__(self, root: Path, reserve_bytes: int = 0, quota_bytes: int = 0) -> None:
        self.root = root
        self.quota_bytes = quota_bytes
        self._reserve_bytes = reserve_bytes
        self.database = root / "service.db"
        self._files = root / "files"
        self._avatars = root / "avatars"
        self._temporary = root / "tmp"
        storage_folder.prepare(root)

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Hold the folder for this process. Raises CommandError when another one does."""
        with (self.root / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CommandError(f"Another service is running on {self.root}") from error
            yield

    def has_room(self, size: int = 0) -> bool:
        """Tell whether so many bytes leave the reserve untouched, which the database lives on."""
        return self.free() - size >= self._reserve_bytes

    def free(self) -> int:
        """Tell how many bytes the disk has left."""
        return shutil.disk_usage(self.root).free

    def ensure_room(self, size: int) -> None:
        """Raise StorageFull when so many bytes more would use the reserve."""
        if not self.has_room(size):
            raise StorageFull("The server's disk is full")

    def original(self, uuid: str) -> Path:
        return self._files / uuid / "original"

    def converted(self, uuid: str) -> Path:
        return self._files / uuid / "converted"

    def speech(self, uuid: str) -> Path:
        return self._files / uuid / "speech.wav"

    def avatar(self, uuid: str) -> Path:
        return self._avatars / f"{uuid}.png"

    def receive(self, max_bytes: int) -> IncomingFile:
        """Open an upload of at most `max_bytes`, on the file system where it will stay."""
        return IncomingFile(self._temporary / ids.uuid7(), max_bytes, self.has_room)

    @property
    def temporary_folder(self) -> Path:
        return self._temporary

    def temporary(self) -> Path:
        """Name a file or folder that does not exist yet; what is left in there dies at a start."""
        return self._temporary / ids.uuid7()

    def place(self, source: Path, target: Path) -> None:
        """Move a closed file to its name so that it is there, whole, after a power cut."""
        target.parent.mkdir(mode=0o700, exist_ok=True)
        with source.open("rb") as file:
            os.fsync(file.fileno())
        source.replace(target)
        for folder in (target.parent, target.parent.parent):
            sync_folder(folder)

    def delete(self, uuid: str) -> None:
        """Remove all that belongs to a file. No half of it is ever seen."""
        doomed = self.temporary()
        try:
            (self._files / uuid).rename(doomed)
        except FileNotFoundError:
            return
        shutil.rmtree(doomed, ignore_errors=True)

    def needed(self, uuid: str, *, converted: bool, heard: bool) -> list[Path]:
        """List what has to be there of a file, what a download returns first.

        `heard` says that its WAV was made.
        """
        download = self.converted(uuid) if converted else self.original(uuid)
        return [download, self.speech(uuid)] if heard else [download]

    def holds_recordings(self) -> bool:
        return any(storage_folder.own_entries(self._files))

    def sweep(self, files: Mapping[str, bool], avatars: set[str]) -> None:
        """Remove what a killed process left: temporary files, and what no row knows.

        What has a name that the service does not give is left alone. `files` tells of each uuid
        whether it is converted, so that its original is not needed.
        """
        for leftover in storage_folder.own_entries(self._temporary):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        for folder in storage_folder.own_entries(self._files):
            if folder.name not in files:
                self.delete(folder.name)
            elif files[folder.name]:
                self.original(folder.name).unlink(missing_ok=True)
        for picture in storage_folder.own_entries(self._avatars):
            if picture.stem not in avatars:
                picture.unlink()


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
