"""Models on their way to the machines that lack them, over the connection that is there."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from whisper_service import metrics
from whisper_service.cluster import machine
from whisper_service.cluster.connection import Call, Connection
from whisper_service.cluster.model_files import digest
from whisper_service.models.catalog import ModelFile
from whisper_service.whisper.engine import POLL_INTERVAL

PIECE_BYTES = 4 * 1024**2
PIECE_SECONDS = 120  # the last one waits until all is hashed
AT_ONCE = 2
RETRY_SECONDS = 60

logger = logging.getLogger(__name__)


class Digests:
    """The hashes of the service's models, each computed once for a version of its file."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, str], str] = {}

    def __len__(self) -> int:
        return len(self._known)

    def of(self, model: ModelFile) -> str | None:
        """Return the hash of a model; None if it isn't computed yet."""
        return self._known.get((model.path, model.version))

    def of_file(self, path: Path) -> str | None:
        status = path.stat()
        return self._known.get((path, f"{status.st_size}-{status.st_mtime_ns}"))

    def compute(self, model: ModelFile) -> None:
        self._known[model.path, model.version] = digest(model.path)


class ModelSender:
    """Sends models over a connection, one to each machine at a time."""

    def __init__(self, connection: Connection, digests: Digests) -> None:
        self._connection, self._digests = connection, digests
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="model sender")
        self._under_way: set[str | Path] = set()
        self._failed: dict[tuple[str, str], float] = {}
        self._stopped = threading.Event()

    def send_missing(
        self, models: Collection[ModelFile], there: Mapping[str, frozenset[str]]
    ) -> None:
        """Begin to send models that are needed. `there` are the hashes at each address."""
        for model in models:
            wanted = self._digests.of(model)
            if wanted is None:
                self._begin(model.path, self._digests.compute, model)
                continue
            for address, digests in there.items():
                failed = self._failed.get((address, wanted), -float(RETRY_SECONDS))
                if wanted not in digests and time.monotonic() - failed >= RETRY_SECONDS:
                    self._begin(address, self._send, address, model, wanted)

    def stop(self) -> None:
        self._stopped.set()
        self._pool.shutdown()

    def _begin(self, key: str | Path, work: Callable[..., None], *arguments: object) -> None:
        """Do work in another thread, unless some is under way for the same machine or file."""
        if key in self._under_way:
            return
        self._under_way.add(key)

        def run() -> None:
            try:
                work(*arguments)
            except OSError as error:
                logger.warning("A model: %s", error)
            finally:
                self._under_way.discard(key)

        self._pool.submit(run)

    def _send(self, address: str, model: ModelFile, wanted: str) -> None:
        logger.info("Sending model %s to %s", model.name, address)
        try:
            self._send_pieces(address, model, wanted)
        except OSError:
            self._failed[address, wanted] = time.monotonic()
            raise

    def _send_pieces(self, address: str, model: ModelFile, wanted: str) -> None:
        """Send what isn't there yet; an earlier connection may have sent a part."""
        have = self._receive(address, wanted, model.size, 0, b"")
        with model.path.open("rb") as file:
            while have < model.size:
                file.seek(have)
                piece = file.read(PIECE_BYTES)
                before, have = have, self._receive(address, wanted, model.size, have, piece)
                metrics.sent_to_cluster(len(piece))
                if have <= before:
                    raise OSError(f"{address} did not get model {model.name} as it is")

    def _receive(self, address: str, *arguments: object) -> int:
        call = self._connection.call(address, machine.receive, *arguments)
        try:
            self._wait(call)
            return int(call.result())
        finally:
            call.end()

    def _wait(self, call: Call) -> None:
        deadline = time.monotonic() + PIECE_SECONDS
        while not call.wait(POLL_INTERVAL):
            if self._stopped.is_set() or time.monotonic() > deadline:
                raise OSError("A machine of the cluster did not take a model")
