"""The front door: what is refused before its body has come, and who may stay connected.

Waitress asks the application once a request has been received whole. So a stranger could fill the
disk, and a client that sends a byte a minute could hold its connection for ever: this is its
parser and its connection with the rules that have to hold earlier.
"""

import errno
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import BaseWSGIServer

from whisper_service.errors import (
    InvalidRequest,
    RequestTimeout,
    ServiceError,
    StorageFull,
    TooLarge,
    TooManyRequests,
)

HEADER_SECONDS = 10.0
# A body has to bring so many bytes a second, looked at so often.
BODY_RATE = 1024
BODY_SECONDS = 20.0
# What is parsed is read in small pieces: a large one of many tiny requests or chunks would keep
# everybody waiting while it is taken apart.
PARSED_BYTES = 8192
# Waitress keeps smaller bodies in memory.
SPOOLED_BYTES = 512 * 1024
# How long to throw away what a refused client still sends, so that it comes to read the answer.
LINGER_SECONDS = 5


@dataclass(frozen=True)
class Head:
    """What is known of a request with a body when its headers have come.

    The names in `headers` are as in WSGI, without HTTP_. `length` is 0 for a body in chunks.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    length: int


@dataclass(frozen=True)
class Rules:
    """What the door needs to be told.

    `judge` tells how many bytes a body may have, or raises the ServiceError that refuses it.
    `describe` gives the content type and the text of an error on a path. `has_room` tells whether
    the disk has room for more. `per_address` connections are let in from one address; those of the
    trusted proxy ('' for none) count for whom it speaks.
    """

    judge: Callable[[Head], int]
    describe: Callable[[str, ServiceError], tuple[str, str]]
    has_room: Callable[[], bool]
    per_address: int
    trusted_proxy: str


class Door:
    """All connections of all servers that it guards."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.is_closing = False
        self._servers: list[Any] = []

    def guard(self, server: BaseWSGIServer) -> None:
        server.channel_class = partial(Channel, self)  # type: ignore[assignment]
        self._servers.append(server)

    def is_crowded(self, address: str) -> bool:
        """Tell whether more connections have come from an address than may."""
        known = sum(channel.client == address for channel in self._channels())
        return known > self.rules.per_address

    def end_overdue(self) -> None:
        """End the requests that do not come at a pace."""
        now = time.monotonic()
        for channel in list(self._channels()):
            channel.end_if_overdue(now)

    def close(self) -> None:
        """Take no more connections. Those that are there get one more answer each."""
        self.is_closing = True
        for server in self._servers:
            known = -1
            while known != len(server.active_channels):  # who waits to be let in
                known = len(server.active_channels)
                server.handle_accept()
            server.del_channel()
            server.socket.close()
        for channel in self._channels():
            channel.answer_last()

    def end_idle(self, seconds: float) -> bool:
        """End connections on which nothing has happened for so long. Tell if others are left."""
        channels = list(self._channels())
        for channel in channels:
            if channel.is_idle(seconds):
                channel.will_close = True
        return bool(channels)

    def _channels(self) -> Iterator["Channel"]:
        for server in self._servers:
            yield from server.active_channels.values()


class _Answer:
    """An error as waitress wants it, in the service's own shape."""

    def __init__(self, error: ServiceError, content_type: str, text: str) -> None:
        self._error = error
        self._content_type = content_type
        self._text = text

    def to_response(self, _ident: str | None) -> tuple[str, list[tuple[str, str]], bytes]:
        status = f"{self._error.status} {HTTPStatus(self._error.status).phrase}"
        headers = [
            ("Content-Type", self._content_type),
            ("X-Content-Type-Options", "nosniff"),
        ]
        if self._error.retry_after:
            headers.append(("Retry-After", str(self._error.retry_after)))
        return status, headers, self._text.encode()


class _Parser(HTTPRequestParser):
    # The stubs for these are wrong. Waitress has no values for a first line that is no such.
    headers: Any
    body_rcv: Any
    error: Any
    command: Any = ""
    path: Any = ""

    def __init__(self, door: Door, channel: "Channel", adj: Any) -> None:  # noqa: ANN401 - waitress's
        super().__init__(adj)
        self._door = door
        self._channel = channel
        self._most: int | None = None

    def received(self, data: bytes) -> int:
        """Take in what belongs to this request; after one that is refused nothing is one."""
        try:
            consumed = self._take(data)
        except ServiceError as error:
            self.refuse(error)
        except ValueError:  # a number or an address that Python refuses
            self.refuse(InvalidRequest("Bad Request"))
        return len(data) if self.error is not None else consumed

    def refuse(self, error: ServiceError) -> None:
        """Answer at once, whatever is still to come."""
        self.error = _Answer(error, *self._door.rules.describe(self.path, error))
        self._channel.is_refused = True
        self.completed = True
        self.expect_continue = False

    def _take(self, data: bytes) -> int:
        try:
            consumed = super().received(data)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StorageFull("The server's disk is full") from error
            raise
        if self.error is not None:
            raise ServiceError(self.error.body, self.error.code)
        if self.headers_finished and not self.empty:
            self._check()
        return consumed

    def _check(self) -> None:
        """Look at the headers once they are there, and at the body whenever more has come."""
        if self._door.is_closing:
            self.headers["CONNECTION"] = "close"
        if self._most is None:
            self._channel.know_client(self.headers)
            self._most = self._judge()
        if max(self.content_length, self.body_bytes_received) > self._most:
            raise TooLarge("Request Entity Too Large")
        if self.chunked and len(self.body_rcv.control_line + self.body_rcv.trailer) > PARSED_BYTES:
            raise InvalidRequest("Bad Request")
        if self.body_bytes_received > SPOOLED_BYTES and not self._door.rules.has_room():
            raise StorageFull("The server's disk is full")

    def _judge(self) -> int:
        if self.body_rcv is None:
            self.expect_continue = False  # or waitress would wait for a body
            return 0
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise InvalidRequest("A body has either a length or chunks")  # a proxy may see another
        head = Head(self.command, self.path, self.headers, self.content_length)
        return self._door.rules.judge(head)


class Channel(HTTPChannel):
    """A connection that ends when its client is too slow, and lets a refused one read why."""

    # The stubs for these are wrong.
    request: Any
    requests: Any
    requests_lock: Any
    server: Any
    socket: Any

    def __init__(self, door: Door, server: BaseWSGIServer, *arguments: Any, **more: Any) -> None:  # noqa: ANN401
        self.is_refused = False
        self._told = ""  # for whom a proxy speaks
        self._door = door
        self._watched: HTTPRequestParser | None = None
        self._seen = (0.0, 0)  # when its pace was looked at, and what had come
        self._lingers_until: float | None = None
        super().__init__(server, *arguments, **more)
        self.parser_class = partial(_Parser, door, self)  # type: ignore[assignment]
        if not self._is_of_proxy and door.is_crowded(self.client):
            self.handle_close()

    @property
    def client(self) -> str:
        """The address that it counts for: while a proxy's is busy, the one that the proxy told."""
        if self._is_of_proxy:
            return self._told if self._is_busy else ""
        address: str = self.addr[0]
        return address

    def know_client(self, headers: Mapping[str, str]) -> None:
        """Count a connection of the proxy's for the client whose request it brings.

        Raises TooManyRequests when that one has too many.
        """
        if self._is_of_proxy:
            self._told = headers.get("X_FORWARDED_FOR", "").rpartition(",")[2].strip()
            if self._told and self._door.is_crowded(self._told):
                raise TooManyRequests("Too many connections", 1)

    def recv(self, buffer_size: int) -> bytes:
        """Read much at once only where none of it is parsed."""
        body = self.request and self.request.body_rcv
        unparsed = getattr(body, "remain", 0) if self._lingers_until is None else buffer_size
        data: bytes = super().recv(min(buffer_size, max(unparsed, PARSED_BYTES)))
        return data

    def received(self, data: bytes) -> bool:
        if self._lingers_until is not None:
            return False
        more = super().received(data)
        if self.request is not self._watched:
            self._watched = self.request
            self._seen = (time.monotonic(), 0)
        return more

    def end_if_overdue(self, now: float) -> None:
        if self._lingers_until is not None:
            if now > self._lingers_until:
                self.handle_close()
            return
        with self.requests_lock:
            if self.request is not None and self._is_slow(self.request, now):
                self._refuse_slow(self.request)

    def answer_last(self) -> None:
        """Tell with the answer to what has come last that no other follows."""
        for request in [self.request, *reversed(self.requests)]:
            if request is not None:
                request.headers["CONNECTION"] = "close"
                return

    def is_idle(self, seconds: float) -> bool:
        return not self._is_busy and time.time() - self.last_activity > seconds

    def handle_close(self) -> None:
        """Close, unless there is an answer that the client can only read if this end waits.

        To close a connection with bytes unread is to reset it, and the answer is lost.
        """
        if self.connected and self.is_refused and self._lingers_until is None:
            self._lingers_until = time.monotonic() + LINGER_SECONDS
            self.will_close = False
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
                return
        if self.request is not None:
            self.request.close()  # what has come of its body
        super().handle_close()

    @property
    def _is_of_proxy(self) -> bool:
        return bool(self.addr[0] == self._door.rules.trusted_proxy)

    @property
    def _is_busy(self) -> bool:
        return bool(self.requests or self.request is not None or self.total_outbufs_len)

    def _is_slow(self, request: HTTPRequestParser, now: float) -> bool:
        if not self.readable():  # it is this end that does not read
            self._seen = (now, request.body_bytes_received)
        since, bytes_then = self._seen
        if not request.headers_finished:
            return now - since > HEADER_SECONDS
        if now - since < BODY_SECONDS:
            return False
        self._seen = (now, request.body_bytes_received)
        return request.body_bytes_received - bytes_then < BODY_RATE * (now - since)

    def _refuse_slow(self, request: _Parser) -> None:
        request.refuse(RequestTimeout("The request came too slowly"))
        self.request = None
        self.requests.append(request)
        if len(self.requests) == 1:
            self.server.add_task(self)

    def _flush_outbufs_below_high_watermark(self) -> None:
        """Hold no thread for a reader who stalls.

        Waitress would wait in one for room, before the next of several requests that came at once.
        """
        if self.total_outbufs_len > self.adj.outbuf_high_watermark:
            with self.requests_lock:
                for request in self.requests[1:]:
                    request.close()
                self.requests = self.requests[:1]
                self.close_when_flushed = True
