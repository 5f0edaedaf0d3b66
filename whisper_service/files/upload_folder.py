"""The bytes of unfinished resumable uploads: a file each, to which one request at a time appends.

An upload's offset is the size of its file, so what was received is kept, however a request ends.
"""

import math
import os
import threading
from collections.abc import Callable
from pathlib import Path

from whisper_service.errors import Conflict, TooLarge

TAKEN_OVER = "The upload was removed, or is continued by another request"


class UploadWriter:
    """Appends the body of one request to an upload's file, as it arrives.

    For a web application that gets it as its input it is an empty body.
    """

    def __init__(self, path: Path, on_close: Callable[["UploadWriter"], None]) -> None:
        self.offset = 0
        self._path = path
        self.left = 0
        self._on_close = on_close
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._is_closed = False

    def open(self, size_bytes: int) -> None:
        """Begin to append to an upload of `size_bytes`. Raises Conflict as `write` does."""
        with self._lock:
            self._check_open()
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
            self.offset = os.fstat(self._descriptor).st_size
            self.left = size_bytes - self.offset

    def write(self, data: bytes) -> None:
        """Append bytes. On an error, those that were written before are kept.

        Raises TooLarge, and writes nothing, beyond the upload's size; Conflict (423) after `close`,
        as when another request has taken over.
        """
        with self._lock:
            self._check_open()
            if len(data) > self.left:
                raise TooLarge("The body is longer than the rest of the upload")
            self._write(memoryview(data))

    def sync(self) -> None:
        """Make the bytes safe on disk, unless another request has taken over, which will.

        Without the lock, for it may take long, and who takes over must not wait.
        """
        with self._lock:
            if self._descriptor is None:
                return
            descriptor = os.dup(self._descriptor)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def read(self, _size: int = -1) -> bytes:
        return b""

    def close(self) -> None:
        """Write nothing more. `offset` stays that of the end of what was written."""
        with self._lock:
            self._is_closed = True
            descriptor, self._descriptor = self._descriptor, None
            if descriptor is not None:
                os.close(descriptor)
        self._on_close(self)

    def _check_open(self) -> None:
        if self._is_closed:
            raise Conflict(TAKEN_OVER, 423)

    def _write(self, data: memoryview) -> None:
        while data:
            assert self._descriptor is not None
            written = os.write(self._descriptor, data)
            self.offset += written
            self.left -= written
            data = data[written:]


class UploadFolder:
    """A folder with a file for each upload that has received anything.

    `next_expiry` is the earliest time at which any upload can expire, in seconds since 1970.
    """

    def __init__(self, folder: Path) -> None:
        self.next_expiry = math.inf
        self._folder = folder
        self._lock = threading.Lock()
        self._writers: dict[str, UploadWriter] = {}

    def path(self, uuid: str) -> Path:
        return self._folder / uuid

    def status(self, uuid: str) -> tuple[int, int]:
        """Return how many bytes an upload has, and when the last of them came; zeros if none."""
        try:
            found = self.path(uuid).stat()
        except FileNotFoundError:
            return 0, 0
        return found.st_size, int(found.st_mtime)

    def size(self, uuid: str) -> int:
        return self.status(uuid)[0]

    def take_over(self, uuid: str) -> UploadWriter:
        """Return the upload's only writer, not yet open: from now on an earlier one writes nothing.

        So it is for whoever may write only, and must be closed.
        """
        writer = UploadWriter(self.path(uuid), lambda closed: self._forget(uuid, closed))
        with self._lock:
            earlier = self._writers.get(uuid)
            self._writers[uuid] = writer
        if earlier:
            earlier.close()
        return writer

    def remove(self, uuid: str) -> None:
        """Remove an upload's bytes. The request that appends to them writes nothing more."""
        with self._lock:
            writer = self._writers.get(uuid)
        if writer:
            writer.close()
        self.path(uuid).unlink(missing_ok=True)

    def expect_expiry(self, at: float) -> None:
        with self._lock:
            self.next_expiry = min(self.next_expiry, at)

    def _forget(self, uuid: str, writer: UploadWriter) -> None:
        with self._lock:
            if self._writers.get(uuid) is writer:
                del self._writers[uuid]
