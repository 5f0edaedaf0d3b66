"""The running service: storage, database, worker and web server, started and ended in order."""

import logging
import resource
import tempfile
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from waitress import wasyncore
from waitress.server import BaseWSGIServer, create_server

from whisper_service import billing, db, sandbox
from whisper_service.config import Config
from whisper_service.errors import CommandError
from whisper_service.files import inventory, storage_folder
from whisper_service.files.storage import Storage
from whisper_service.jobs import queue
from whisper_service.jobs.worker import Worker
from whisper_service.models import catalog
from whisper_service.server import admission
from whisper_service.server.channel import Door
from whisper_service.server.dispatcher import Dispatcher
from whisper_service.web import create_app
from whisper_service.web.services import Services

LOOP_SECONDS = 0.5
MAX_CONNECTIONS = 2000
# A connection has at most a file being sent, and two for what it uploads.
DESCRIPTORS = 3 * MAX_CONNECTIONS
# At the end: for requests to come in whole and be answered, and for clients to see that it was
# the last answer on their connection.
DRAIN_SECONDS, IDLE_SECONDS = 20, 1
NO_LIMIT = 2**62

logger = logging.getLogger(__name__)


class Server:
    """A context manager that holds the storage, the port and the worker while it is entered."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._exit = ExitStack()
        self._sockets: dict[int, Any] = {}
        self._stopping = False
        self._looked = 0.0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            settings = self.config.storage
            storage = Storage(settings.path, settings.reserve_bytes, settings.quota_bytes)
            stack.enter_context(storage.owned())
            # With a new database they would be taken for leftovers, and swept away below.
            db.open_database(storage.database, create=not storage.holds_recordings())
            stack.callback(db.database.close)
            storage_folder.make_private(storage.root)
            tempfile.tempdir = str(storage.temporary_folder)  # large bodies are spooled there
            storage.sweep(*inventory.list_stored(db.database.connection()))  # type: ignore[no-untyped-call]
            queue.requeue_interrupted()
            if missing := sandbox.missing():
                names = " and ".join(missing)
                logger.warning("Without %s ffmpeg and the engine have limits alone", names)
            for line in billing.find_wrong_balances():
                logger.error("%s", line)
            self.worker = Worker(self.config, storage)
            self._door = Door(admission.rules(self.config, storage))
            self._listen(Services(self.config, storage, self.worker))
            stack.callback(wasyncore.close_all, self._sockets)
            stack.callback(self.worker.stop)
            self.worker.start()
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exit.close()

    @property
    def url(self) -> str:
        host = self.config.server.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}"

    def run(self) -> None:
        """Answer requests until `stop` is called, by a signal's handler or another thread."""
        try:
            while not self._stopping:
                self._turn(LOOP_SECONDS)
            self.worker.begin_stop()
            self._answer_rest()
        finally:
            self._waitress.task_dispatcher.shutdown()

    def _turn(self, seconds: float) -> None:
        wasyncore.loop(seconds, use_poll=True, map=self._sockets, count=1)
        if time.monotonic() - self._looked > 1:
            self._looked = time.monotonic()
            self._door.end_overdue()

    def _answer_rest(self) -> None:
        """Answer the requests that are there or under way, and none on new connections."""
        deadline = time.monotonic() + DRAIN_SECONDS
        self._door.close()
        self._turn(0)  # what had come unread
        while self._door.end_idle(IDLE_SECONDS) and time.monotonic() < deadline:
            self._turn(LOOP_SECONDS / 5)

    def stop(self) -> None:
        """Make `run` return when the requests under way are answered."""
        self._stopping = True

    def greeting(self) -> str:
        models = catalog.available(self.config.models.path)
        names = ", ".join(model.name for model in models) or "none yet: make model NAME=ggml-base"
        return (
            f"The transcription service is ready on {self.url}\n"
            f"  Models   {names}\n"
            f"  Storage  {self.config.storage.path}\n"
            "  Next     the walk in README.md, or `make demo` in another terminal; Ctrl-C ends it"
        )

    @property
    def _port(self) -> int:
        """The port that was taken. A name with several addresses gets a server for each."""
        several = getattr(self._waitress, "effective_listen", None)
        port: int = several[0][1] if several else self._waitress.effective_port
        return port

    def _listen(self, services: Services) -> None:
        server = self.config.server
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = max(
            soft, min(DESCRIPTORS, hard if hard != resource.RLIM_INFINITY else DESCRIPTORS)
        )
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        try:
            self._waitress: Any = create_server(
                create_app(services),
                map=self._sockets,
                _dispatcher=Dispatcher(admission.pool_sizes(server.threads)),  # type: ignore[arg-type]
                host=server.host,
                port=server.port,
                max_request_body_size=NO_LIMIT,  # the door's
                max_request_header_size=32_768,
                connection_limit=MAX_CONNECTIONS,
                channel_timeout=60,
                cleanup_interval=5,
                recv_bytes=262_144,
                clear_untrusted_proxy_headers=False,  # /metrics looks for them, nobody trusts them
                **_proxy(server.trusted_proxy),
                ident=None,
            )
        except (OSError, ValueError) as error:
            raise CommandError(
                f"Cannot listen on {server.host}:{server.port} ({error}); "
                "[server] host and port in config.toml choose another address"
            ) from error
        for listening in list(self._sockets.values()):
            if isinstance(listening, BaseWSGIServer):
                self._door.guard(listening)


def _proxy(address: str) -> dict[str, Any]:
    """Have waitress believe what a proxy tells of its client, and nobody else."""
    if not address:
        return {}
    told = {"x-forwarded-for", "x-forwarded-proto"}
    return {"trusted_proxy": address, "trusted_proxy_count": 1, "trusted_proxy_headers": told}
