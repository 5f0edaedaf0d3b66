"""A TCP proxy that cuts connections after exactly so many bytes."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

PIECE = 64 * 1024
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets the connection

# How many bytes of all requests are passed on before it happens, and what does.
Event = tuple[int, Callable[[], object]]


def nothing() -> None:
    """Cut the connection, and do nothing else."""


@dataclass
class Proxy:
    """Passes connections on to `target`, a host and a port that may change.

    At each of the `events`, in their order, it cuts the connection, within a byte.
    """

    target: Callable[[], tuple[str, int]]
    events: list[Event]
    passed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _listener: socket.socket = field(
        default_factory=lambda: socket.create_server(("127.0.0.1", 0), backlog=100)
    )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def serve(self) -> None:
        """Accept connections until the proxy is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _connect(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            with socket.create_connection(self.target(), 60) as server:
                server.settimeout(None)
                answers = threading.Thread(target=_pump, args=(server, client), daemon=True)
                answers.start()
                self._pass_requests(client, server)
                answers.join()

    def _pass_requests(self, client: socket.socket, server: socket.socket) -> None:
        while data := client.recv(PIECE):
            with self._lock:
                allowed = self.events[0][0] - self.passed if self.events else len(data)
                server.sendall(data[:allowed])
                self.passed += min(allowed, len(data))
                if allowed < len(data):
                    _, happens = self.events.pop(0)
                    server.shutdown(socket.SHUT_RDWR)  # what was passed on arrives
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    client.close()
                    happens()
                    return
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(PIECE):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def proxying(target: Callable[[], tuple[str, int]], events: list[Event]) -> Iterator[Proxy]:
    proxy = Proxy(target, events)
    thread = threading.Thread(target=proxy.serve)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.close()
        thread.join()
