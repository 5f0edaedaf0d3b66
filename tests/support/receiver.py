"""Receivers of webhooks: a server that behaves as it is told, and records what it gets."""

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from standardwebhooks import Webhook

# What a receiver does with a connection once the request has arrived.
Behaviour = Callable[[socket.socket], object]


@dataclass
class Received:
    request_line: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def content(self) -> Any:
        return json.loads(self.body)

    def verify(self, secret: str) -> Any:
        """Return the content. Raises WebhookVerificationError unless the secret signed it."""
        return Webhook(secret).verify(self.body, self.headers)


def answer(status: int, *headers: str) -> Behaviour:
    head = "\r\n".join([f"HTTP/1.1 {status} Some Reason", *headers, "content-length: 0", "", ""])
    return lambda connection: connection.sendall(head.encode())


def say(text: bytes) -> Behaviour:
    return lambda connection: connection.sendall(text)


def reset(connection: socket.socket) -> None:
    """Close with a reset instead of an end."""
    linger = b"\x01\0\0\0\0\0\0\0"
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


class Receiver:
    """Accepts connections on a loopback address, counts them and records their requests."""

    def __init__(self, host: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.socket(family)
        self._listening.bind((host, 0))
        self._listening.listen(64)
        self._context = context
        self._over = threading.Event()
        self.host = host
        self.port: int = self._listening.getsockname()[1]
        self.behave: Behaviour = answer(204)
        self.reads = True  # the request, before it behaves
        self.dripped = b"HTTP/1.1 " + b"2" * 600
        self.connections = self.hung_up = 0
        self.received: list[Received] = []

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._context else 'http'}://{host}:{self.port}/hook?token=secret"

    def hang(self, connection: socket.socket) -> None:
        """Answer nothing until the sender hangs up."""
        connection.settimeout(60)
        while connection.recv(4096):
            pass
        self.hung_up += 1

    def drip(self, connection: socket.socket) -> None:
        """Answer a byte at a time, so that no two are far apart."""
        with suppress(OSError):
            for byte in self.dripped:
                connection.sendall(bytes([byte]))
                if self._over.wait(0.05):
                    break

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def close(self) -> None:
        self._over.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _answer(self, plain: socket.socket) -> None:
        with suppress(OSError), plain:
            if not self.reads:
                self.behave(plain)
                return
            secured = self._context.wrap_socket(plain, server_side=True) if self._context else plain
            with secured as connection, connection.makefile("rb") as file:
                self.received.append(_read(file))
                self.behave(connection)


def _read(file: Any) -> Received:
    request_line = file.readline().decode()
    if not request_line:
        raise ConnectionError
    headers = {}
    while line := file.readline().decode().strip():
        name, _, value = line.partition(": ")
        headers[name] = value
    return Received(request_line.strip(), headers, file.read(int(headers["content-length"])))


@contextmanager
def receiving(host: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    receiver = Receiver(host, context)
    thread = threading.Thread(target=receiver.serve)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.close()
        thread.join()
