"""The running service: storage, database, worker and web server, started and ended in order."""

import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, create_server

from whisper_service import db, jobs, model_files
from whisper_service.config import Config
from whisper_service.errors import CommandError
from whisper_service.storage import Storage
from whisper_service.tables import File, User
from whisper_service.web import create_app
from whisper_service.web.forms import max_body_bytes
from whisper_service.web.services import Services
from whisper_service.worker import Worker

LOOP_SECONDS = 0.5


class _Channel(HTTPChannel):
    """A connection that holds no thread for a reader who stalls.

    Waitress would wait in one for room, before the next of several requests that came at once.
    """

    def _flush_outbufs_below_high_watermark(self) -> None:
        if self.total_outbufs_len > self.adj.outbuf_high_watermark:
            with self.requests_lock:  # type: ignore[attr-defined]
                for request in self.requests[1:]:
                    request.close()
                self.requests = self.requests[:1]
                self.close_when_flushed = True


BaseWSGIServer.channel_class = _Channel


class Server:
    """A context manager that holds the storage, the port and the worker while it is entered."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._exit = ExitStack()
        self._sockets: dict[int, Any] = {}
        self._stopping = False

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            storage = Storage(self.config.storage.path)
            stack.enter_context(storage.owned())
            if storage.holds_recordings() and not storage.database.exists():
                # The sweep below would take them for leftovers of files that were deleted.
                raise CommandError(
                    f"{storage.root} holds recordings but no service.db: put that back, "
                    "or move the files away"
                )
            db.open_database(storage.database)
            stack.callback(db.database.close)
            tempfile.tempdir = str(storage.temporary_folder)  # large bodies are spooled there
            storage.sweep(*_known_files())
            jobs.requeue_interrupted()
            self.worker = Worker(self.config, storage)
            services = Services(self.config, storage, self.worker.wake)
            self._listen(services)
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
                wasyncore.loop(LOOP_SECONDS, use_poll=True, map=self._sockets, count=1)
        finally:
            self._waitress.task_dispatcher.shutdown()

    def stop(self) -> None:
        """Make `run` return within a second."""
        self._stopping = True

    def greeting(self) -> str:
        models = model_files.available(self.config.models.path)
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
        try:
            self._waitress: Any = create_server(
                create_app(services),
                map=self._sockets,
                host=server.host,
                port=server.port,
                threads=server.threads,
                max_request_body_size=max_body_bytes(self.config.storage.max_upload_bytes),
                connection_limit=500,
                recv_bytes=262_144,
                ident=None,
            )
        except (OSError, ValueError) as error:
            raise CommandError(
                f"Cannot listen on {server.host}:{server.port} ({error}); "
                "[server] host and port in config.toml choose another address"
            ) from error


def _known_files() -> tuple[dict[str, bool], set[str]]:
    """List the uuids of all files, with whether each is converted, and of all avatars."""
    files: Iterable[File] = File.select(File.uuid, File.status)
    users: Iterable[User] = User.select(User.avatar_uuid).where(
        User.avatar_uuid.is_null(is_null=False)
    )
    converted = {file.uuid: file.status == "ready" for file in files}
    return converted, {str(user.avatar_uuid) for user in users}
