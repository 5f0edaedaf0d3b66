"""HTTP over plain sockets: what client libraries neither send nor show."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.support.live import LiveServer

TIMEOUT = 20


@dataclass(frozen=True)
class Answer:
    """An HTTP response; the names in `headers` are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The text of an error."""
        assert self.headers["content-type"] == "text/plain; charset=utf-8"
        return self.body.decode()


def head(method: str, path: str, **headers: object) -> bytes:
    """Write a request's head. A `_` in a header's name stands for a hyphen."""
    lines = [f"{method} /api/v1{path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def connect(server: LiveServer, source: str = "127.0.0.1") -> socket.socket:
    address = urlsplit(server.url)
    assert address.hostname
    assert address.port
    return socket.create_connection((address.hostname, address.port), TIMEOUT, (source, 0))


@contextmanager
def connected(server: LiveServer, source: str = "127.0.0.1") -> Iterator["Wire"]:
    with connect(server, source) as connection:
        yield Wire(connection)


class Wire:
    """A connection, from which answers are read one by one."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._read = b""

    def send(self, *parts: bytes) -> None:
        self.connection.sendall(b"".join(parts))

    def answer(self) -> Answer:
        """Read the next answer. Raises EOFError when the connection ends before its end."""
        lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        pairs = [line.split(": ", 1) for line in lines[1:] if line]
        headers = {name.lower(): value for name, value in pairs}
        length = int(headers.get("content-length", 0))
        while len(self._read) < length:
            self._more()
        body, self._read = self._read[:length], self._read[length:]
        return Answer(int(lines[0].split()[1]), headers, body)

    def status(self) -> int:
        """Read the next answer's head alone, and return its status."""
        return int(self._until(b"\r\n\r\n").split()[1])

    def asked(self, *parts: bytes) -> Answer:
        self.send(*parts)
        return self.answer()

    def is_ended(self) -> bool:
        """Wait for more bytes or the end of the connection; return whether it has ended."""
        try:
            while not self._read:
                self._more()
        except (EOFError, ConnectionError):
            return True
        return False

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._read:
            self._more()
        found, _, self._read = self._read.partition(mark)
        return found

    def _more(self) -> None:
        received = self.connection.recv(1 << 16)
        if not received:
            raise EOFError
        self._read += received


def login(name: str, password: str) -> bytes:
    body = json.dumps({"username": name, "password": password}).encode()
    return head("POST", "/user/login", Content_Length=len(body)) + body
