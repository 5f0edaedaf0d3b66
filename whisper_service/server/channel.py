"""The front door: who may be connected, and for how long.

A client that sends a byte a minute, or reads none, could hold its connection for ever: this is
waitress's connection with an end to that, and with one in order when the service ends.
"""

import socket
import time
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from functools import partial
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import BaseWSGIServer

from whisper_service.errors import RequestTimeout, TooManyRequests
from whisper_service.server.dispatcher import SHORT
from whisper_service.server.parser import PARSED_BYTES, Parser, Rules
from whisper_service.web.limits import address_of, network_of

HEADER_SECONDS = 10.0
# A body has to bring so many bytes a second, looked at so often.
BODY_RATE = 1024
BODY_SECONDS = 20.0
# How long to throw away what a refused client still sends, so that it comes to read the answer.
LINGER_SECONDS = 5
PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT


class Door:
    """All connections of all servers that it guards."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.is_closing = False
        self._servers: list[Any] = []

    def guard(self, server: BaseWSGIServer) -> None:
        server.channel_class = partial(Channel, self)  # type: ignore[assignment]
        self._servers.append(server)

    def is_crowded(self, network: str) -> bool:
        """Return whether more connections have come from a network than may."""
        known = sum(channel.client == network for channel in self._channels())
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
        self._network = network_of(self.addr[0])
        self.parser_class = partial(Parser, door.rules, self)  # type: ignore[assignment]
        if not self._is_of_proxy and door.is_crowded(self.client):
            self.handle_close()

    @property
    def client(self) -> str:
        """The network that it counts for: while a proxy's is busy, the one that the proxy told."""
        if self._is_of_proxy:
            return self._told if self._is_busy else ""
        return self._network

    def know_client(self, headers: MutableMapping[str, str]) -> None:
        """Count a connection of the proxy's for the client whose request it brings.

        Raises TooManyRequests when that one has too many.
        """
        if self._is_of_proxy:
            client = address_of(headers.get("X_FORWARDED_FOR", "").rpartition(",")[2])
            if client:  # waitress takes ::ffff:192.0.2.1 for the address ::ffff and a port
                headers["X_FORWARDED_FOR"] = client
            self._told = network_of(client)
            if self._told and self._door.is_crowded(self._told):
                raise TooManyRequests("Too many connections", 1)

    @property
    def pool(self) -> str:
        """The threads that serve its next request. To refuse one takes no time."""
        request = self.requests[0]
        return SHORT if request.error else self._door.rules.pool(request.command, request.path)

    @property
    def is_last(self) -> bool:
        return self._door.is_closing

    def check_client_disconnected(self) -> bool:  # type: ignore[override]
        """Return whether the client is gone, which the application can ask for.

        While a request is being answered nothing is read, so that waitress itself would find out
        at the next write. Bytes of another request mean that the client is there.
        """
        try:
            return not self.connected or not self.socket.recv(1, PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def recv(self, buffer_size: int) -> bytes:
        """Read much at once only where none of it is parsed.

        A large piece of many tiny requests or chunks would keep everybody waiting while it is
        taken apart.
        """
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

    def _refuse_slow(self, request: Parser) -> None:
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
