"""The running service: storage, database, worker and web server, started and stopped in order."""

import logging
import resource
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from importlib import import_module
from types import ModuleType, TracebackType
from typing import Any, Self

from waitress import wasyncore
from waitress.server import BaseWSGIServer, create_server

from whisper_service import billing, db, sandbox
from whisper_service.config import Config
from whisper_service.errors import CommandError
from whisper_service.files import inventory, storage_folder
from whisper_service.files.storage import Storage
from whisper_service.jobs import outcomes
from whisper_service.jobs.worker import Worker
from whisper_service.models import catalog
from whisper_service.server.admission import Admission, pool_sizes
from whisper_service.server.connections import ConnectionManager
from whisper_service.server.dispatcher import Dispatcher
from whisper_service.web import create_app, route_options
from whisper_service.web.services import Services
from whisper_service.whisper.native.background import BackgroundBuild

LOOP_SECONDS = 0.5
MAX_CONNECTIONS = 2000
# A connection has its socket and at most two files: those of an upload, or one being sent.
DESCRIPTORS = 3 * MAX_CONNECTIONS
# At shutdown: how long requests under way have to be received and answered, and how long a
# connection has to be idle to be closed.
DRAIN_SECONDS, IDLE_SECONDS = 20, 1
NO_LIMIT = 2**62
# Packages that are imported only while they are switched on. Each has `start`, which takes the
# configuration, the storage and the worker and returns what stops it, and may have `BLUEPRINTS`.
OPTIONAL_ROOMS = ("webhooks", "watch", "cluster")

logger = logging.getLogger(__name__)


class Server:
    """A context manager that owns the storage, the port and the worker while it is entered."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._exit = ExitStack()
        self._sockets: dict[int, Any] = {}
        self._stopping = False
        self._checked = 0.0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            settings = self.config.storage
            storage = Storage(settings.path, settings.reserve_bytes, settings.quota_bytes)
            stack.enter_context(storage.owned())
            # A new database knows none of the recordings, so the sweep below would remove them.
            db.open_database(storage.database, create=not storage.holds_recordings())
            stack.callback(db.database.close)
            storage_folder.make_private(storage.root)
            tempfile.tempdir = str(storage.temporary_folder)  # large bodies are spooled there
            storage.sweep(*inventory.list_stored(db.database.connection()))  # type: ignore[no-untyped-call]
            outcomes.requeue_interrupted()
            if missing := sandbox.missing():
                names = " and ".join(missing)
                logger.warning(
                    "%s is not available: ffmpeg and the engine run with resource limits only",
                    names,
                )
            for line in billing.find_wrong_balances():
                logger.error("%s", line)
            self.worker = Worker(self.config, storage)
            rooms = _optional_rooms(self.config)
            self._listen(Services(self.config, storage, self.worker), rooms)
            stack.callback(wasyncore.close_all, self._sockets)
            stack.callback(self.worker.stop)
            self.worker.start()
            for room in rooms:
                stack.callback(room.start(self.config, storage, self.worker))
            if self.config.engine.native == "auto":
                build = BackgroundBuild(self.config.models.path)
                build.start()
                stack.callback(build.stop)
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
                self._poll(LOOP_SECONDS)
            self.worker.begin_stop()
            self._drain()
        finally:
            self._waitress.task_dispatcher.shutdown()

    def _poll(self, seconds: float) -> None:
        """Handle the events of up to `seconds`, and reject slow requests once a second."""
        wasyncore.loop(seconds, use_poll=True, map=self._sockets, count=1)
        if time.monotonic() - self._checked > 1:
            self._checked = time.monotonic()
            self._connections.reject_slow()

    def _drain(self) -> None:
        """Answer the requests that have begun, and accept no new connections."""
        deadline = time.monotonic() + DRAIN_SECONDS
        self._connections.stop_accepting()
        self._poll(0)  # reads what has arrived
        while self._connections.close_idle(IDLE_SECONDS) and time.monotonic() < deadline:
            self._poll(LOOP_SECONDS / 5)

    def stop(self) -> None:
        """Make `run` return once the requests under way are answered."""
        self._stopping = True

    def greeting(self) -> str:
        models = catalog.available(self.config.models.path)
        names = ", ".join(model.name for model in models) or "none yet: make model NAME=ggml-base"
        return (
            f"The transcription service is ready on {self.url}\n"
            f"  Models   {names}\n"
            f"  Engines  {self._engines()}\n"
            f"  Storage  {self.config.storage.path}\n"
            "  Next     read README.md, or run `make demo` in another terminal; Ctrl-C stops it"
        )

    def _engines(self) -> str:
        here = ", ".join([f"{self.config.local_engines} here", *self.worker.device_names])
        cluster = self.config.cluster
        return f"{here}, and those of {cluster.scheduler}" if cluster.enabled else here

    @property
    def _port(self) -> int:
        """The port in use. A host name with several addresses has a server for each."""
        several = getattr(self._waitress, "effective_listen", None)
        port: int = several[0][1] if several else self._waitress.effective_port
        return port

    def _listen(self, services: Services, rooms: Sequence[ModuleType]) -> None:
        _raise_descriptor_limit()
        blueprints = [each for room in rooms for each in getattr(room, "BLUEPRINTS", ())]
        settings, app = self.config.server, create_app(services, blueprints)
        try:
            self._waitress: Any = create_server(
                app,
                map=self._sockets,
                _dispatcher=Dispatcher(pool_sizes(settings.threads)),  # type: ignore[arg-type]
                host=settings.host,
                port=settings.port,
                max_request_body_size=NO_LIMIT,  # RequestParser has its own
                max_request_header_size=32_768,
                connection_limit=MAX_CONNECTIONS,
                channel_timeout=60,
                cleanup_interval=5,
                recv_bytes=262_144,
                clear_untrusted_proxy_headers=False,  # /metrics checks that there are none
                **_proxy_options(settings.trusted_proxy),
                ident=None,
            )
        except (OSError, ValueError) as error:
            raise CommandError(
                f"Cannot listen on {settings.host}:{settings.port} ({error}); "
                "[server] host and port in config.toml choose another address"
            ) from error
        admission = Admission(partial(route_options.find, app), self.config, services.storage)
        self._connections = ConnectionManager(admission, settings.connections_per_address)
        for listening in list(self._sockets.values()):
            if isinstance(listening, BaseWSGIServer):
                self._connections.add(listening)


def _optional_rooms(config: Config) -> list[ModuleType]:
    """Import the rooms that are switched on. Raises CommandError if one is not installed."""
    names = [name for name in OPTIONAL_ROOMS if getattr(config, name).enabled]
    try:
        return [import_module(f"whisper_service.{name}") for name in names]
    except ModuleNotFoundError as error:
        raise CommandError(f"The package {error.name} is not installed: make cluster") from error


def _raise_descriptor_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))


def _proxy_options(address: str) -> dict[str, Any]:
    """Return the options with which waitress trusts the proxy's headers, and nobody else's."""
    if not address:
        return {}
    headers = {"x-forwarded-for", "x-forwarded-proto"}
    return {"trusted_proxy": address, "trusted_proxy_count": 1, "trusted_proxy_headers": headers}
