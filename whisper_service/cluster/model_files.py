"""Models by the BLAKE3 of their content, which is how the machines of a cluster know them."""

import re
import shutil
import threading
from pathlib import Path

from blake3 import blake3

from whisper_service.errors import StorageFull

# Models that the service sent are in this folder among a worker's models.
RECEIVED = "cluster"
RESERVE_BYTES = 512 * 1024**2  # that stay free on the disk
_DIGEST = re.compile("[0-9a-f]{64}")


def digest(path: Path) -> str:
    """Return the hash of a file."""
    return blake3(max_threads=blake3.AUTO).update_mmap(path).hexdigest()


class ModelFiles:
    """The models of a worker's machine. Safe for threads."""

    def __init__(self, folder: Path) -> None:
        self._received = folder / RECEIVED
        self._received.mkdir(parents=True, exist_ok=True)
        self._paths: dict[str, Path] = {}
        self._lock = threading.Lock()
        for path in sorted([*folder.glob("*.bin"), *self._received.glob("*.bin")]):
            self._paths[digest(path)] = path

    def digests(self) -> list[str]:
        return [found for found in self._paths.copy() if self.path(found)]

    def path(self, wanted: str) -> Path | None:
        """Return the file of a model; None if it isn't here."""
        path = self._paths.get(wanted)
        return path if path and path.exists() else None

    def append(self, wanted: str, size: int, offset: int, data: bytes) -> int:
        """Add a piece of a model of `size` bytes. Return how many are here, which may be others.

        With all of them the model is here, if they are those of its hash; if not, they are thrown
        away. Raises ValueError for no hash, StorageFull.
        """
        if not _DIGEST.fullmatch(wanted):
            raise ValueError("not a hash")
        with self._lock:
            if self.path(wanted):
                return size
            part = self._received / f"{wanted}.part"
            have = part.stat().st_size if part.exists() else 0
            if shutil.disk_usage(self._received).free - (size - have) < RESERVE_BYTES:
                raise StorageFull("The worker's disk is full")
            if offset == have and data:
                with part.open("ab") as file:
                    file.write(data)
                have += len(data)
            return self._complete(wanted, part) if have >= size else have

    def _complete(self, wanted: str, part: Path) -> int:
        size = part.stat().st_size
        if digest(part) != wanted:
            part.unlink()
            return 0
        self._paths[wanted] = part.replace(part.with_suffix(".bin"))
        return size
