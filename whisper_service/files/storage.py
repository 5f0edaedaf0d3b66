"""The storage folder: where files are, and how they get there, whole or not at all.

    files/<uuid>/original     the bytes that were uploaded, until they are converted
    files/<uuid>/converted    MP3 or MP4: what a download returns
    files/<uuid>/speech.wav   16 kHz, mono, s16le: what is transcribed
    files/<uuid>/probabilities    of speech in it, once they are computed
    avatars/<uuid>.png        square, 256 pixels
    uploads/<uuid>            what was received of a resumable upload
    tmp/                      other unfinished uploads, conversions, and what is being deleted

No name in here comes from a user.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from blake3 import blake3

from whisper_service import ids
from whisper_service.errors import CommandError, StorageFull
from whisper_service.files import storage_folder
from whisper_service.files.upload_folder import UploadFolder

HASHED_BYTES = 1024 * 1024  # read at once


class StoredFile(NamedTuple):
    """A file as the database knows it, which says what has to be on disk of it."""

    uuid: str
    is_converted: bool
    has_wav: bool


class StoredUpload(NamedTuple):
    """A resumable upload as the database knows it; after its end nothing is on disk of it."""

    uuid: str
    expires_at: int
    has_ended: bool


class IncomingFile:
    """An upload that is being written to disk, and hashed.

    Beyond `max_bytes` nothing more is written and `too_large` is true. `has_room` returns whether
    the disk has room for a number of bytes. `reserved_bytes` of it count against the user's quota
    already.
    """

    reserved_bytes = 0

    def __init__(self, file: BinaryIO, max_bytes: int, has_room: Callable[[int], bool]) -> None:
        self.path = Path(file.name)
        self.size = 0
        self.max_bytes = max_bytes
        self._has_room = has_room
        self._hash = blake3()
        self._file = file

    @property
    def too_large(self) -> bool:
        return self.size > self.max_bytes

    @property
    def hash(self) -> str:
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        """Append bytes. Raises StorageFull when they would use the reserve."""
        self.size += len(data)
        if self.too_large:
            return
        if not self._has_room(len(data)):
            raise StorageFull("The server's disk is full")
        self._hash.update(data)
        self._file.write(data)

    def read(self) -> None:
        """Hash what is in the file already."""
        while data := self._file.read(HASHED_BYTES):
            self.size += len(data)
            self._hash.update(data)

    def close(self) -> None:
        """Make the bytes safe on disk."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()

    def discard(self) -> None:
        with suppress(OSError):  # on a full disk the buffer cannot be written
            self._file.close()
        self.path.unlink(missing_ok=True)


class Storage:
    """A folder that one running service owns. Raises CommandError if it cannot be used.

    `reserve_bytes` stay free on the disk, `quota_bytes` is the limit of each user; 0 is no limit.
    """

    def __init__(self, root: Path, reserve_bytes: int = 0, quota_bytes: int = 0) -> None:
        self.root = root
        self.quota_bytes = quota_bytes
        self._reserve_bytes = reserve_bytes
        self.database = root / "service.db"
        self._files = root / "files"
        self._avatars = root / "avatars"
        self._temporary = root / "tmp"
        self.uploads = UploadFolder(root / "uploads")
        storage_folder.prepare(root)

    @contextmanager
    def owned(self) -> Iterator[None]:
        """Lock the folder for this process. Raises CommandError when another one holds it."""
        with (self.root / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CommandError(f"Another service is running on {self.root}") from error
            yield

    def has_room(self, size: int = 0) -> bool:
        """Return whether `size` more bytes leave the reserve free, which the database needs."""
        return self.free() - size >= self._reserve_bytes

    def free(self) -> int:
        """Return how many bytes are free on the disk."""
        return shutil.disk_usage(self.root).free

    def ensure_room(self, size: int) -> None:
        """Raise StorageFull when `size` more bytes would use the reserve."""
        if not self.has_room(size):
            raise StorageFull("The server's disk is full")

    def original(self, uuid: str) -> Path:
        return self._files / uuid / "original"

    def converted(self, uuid: str) -> Path:
        return self._files / uuid / "converted"

    def speech(self, uuid: str) -> Path:
        return self._files / uuid / "speech.wav"

    def probabilities(self, uuid: str) -> Path:
        return self._files / uuid / "probabilities"

    def avatar(self, uuid: str) -> Path:
        return self._avatars / f"{uuid}.png"

    def receive(self, max_bytes: int) -> IncomingFile:
        """Create the file for an upload, on the file system where it will stay."""
        return IncomingFile(self.temporary().open("xb"), max_bytes, self.has_room)

    def receive_upload(self, uuid: str) -> IncomingFile:
        """Return the bytes of a complete resumable upload, hashed, under a name of their own.

        So they are kept until their file is recorded. Raises FileNotFoundError if there are none.
        """
        source, link = self.uploads.path(uuid), self.temporary()
        try:
            link.hardlink_to(source)
        except FileNotFoundError:
            raise
        except OSError:  # a file system without links
            shutil.copyfile(source, link)
        incoming = IncomingFile(link.open("rb"), self.uploads.size(uuid), self.has_room)
        incoming.read()
        incoming.reserved_bytes = incoming.size
        return incoming

    @property
    def temporary_folder(self) -> Path:
        return self._temporary

    def temporary(self) -> Path:
        """Return an unused path for a file or folder. What is left there goes at the next start."""
        return self._temporary / ids.uuid7()

    def place(self, source: Path, target: Path) -> None:
        """Move a closed file to its place, where it is whole even after a power cut."""
        target.parent.mkdir(mode=0o700, exist_ok=True)
        with source.open("rb") as file:
            os.fsync(file.fileno())
        source.replace(target)
        for folder in (target.parent, target.parent.parent):
            sync_folder(folder)

    def delete(self, uuid: str) -> None:
        """Remove all parts of a file at once."""
        removed = self.temporary()
        try:
            (self._files / uuid).rename(removed)
        except FileNotFoundError:
            return
        shutil.rmtree(removed, ignore_errors=True)

    def required_paths(self, file: StoredFile) -> list[Path]:
        """Return what has to be on disk of a file, what a download returns first."""
        uuid = file.uuid
        download = self.converted(uuid) if file.is_converted else self.original(uuid)
        return [download, self.speech(uuid)] if file.has_wav else [download]

    def holds_recordings(self) -> bool:
        return any(storage_folder.own_entries(self._files))

    def sweep(
        self,
        files: Iterable[StoredFile],
        avatars: Iterable[str],
        uploads: Iterable[StoredUpload] = (),
    ) -> None:
        """Remove what a killed process left: temporary files, and what the database does not know.

        Names that the service does not use are left alone. Originals of converted files go too.
        """
        for leftover in storage_folder.own_entries(self._temporary):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        converted = {file.uuid: file.is_converted for file in files}
        for folder in storage_folder.own_entries(self._files):
            if folder.name not in converted:
                self.delete(folder.name)
            elif converted[folder.name]:
                self.original(folder.name).unlink(missing_ok=True)
        known = set(avatars)
        for picture in storage_folder.own_entries(self._avatars):
            if picture.stem not in known:
                picture.unlink()
        self._sweep_uploads(list(uploads))

    def _sweep_uploads(self, uploads: list[StoredUpload]) -> None:
        known = {upload.uuid for upload in uploads if not upload.has_ended}
        for path in storage_folder.own_entries(self.root / "uploads"):
            if path.name not in known:
                path.unlink()
        for upload in uploads:
            self.uploads.expect_expiry(upload.expires_at)


def find_storage(path: Path) -> Storage:
    """Return a service's storage. Raises CommandError, and creates nothing, if there is none."""
    if not (path / "service.db").exists():
        raise CommandError(f"{path} holds no service.db")
    return Storage(path)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder safe on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
