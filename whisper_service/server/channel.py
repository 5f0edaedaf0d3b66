"""A connection: waitress's, with time limits on slow clients and an orderly end.

A client that sends a byte a minute, or reads none, could otherwise hold its connection for ever.
"""

import socket
import time
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from functools import partial
from typing import Any

import waitress.channel
from waitress.server import BaseWSGIServer

from whisper_service.errors import RequestTimeout, TooManyRequests
from whisper_service.server.admission import Admission
from whisper_service.server.parser import PARSED_BYTES, RequestParser
from whisper_service.web.limits import address_of, network_of
from whisper_service.web.route_options import Body, Pool, RequestHead

# How long to discard what a rejected client still sends, so that it can read the response.
LINGER_SECONDS = 5
PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT


class HTTPChannel(waitress.channel.HTTPChannel):
    """An HTTP connection. It is closed at once if `has_too_many` is true of its client."""

    # The stubs for these are wrong.
    request: Any
    requests: Any
    requests_lock: Any
    server: Any
    socket: Any

    def __init__(
        self,
        admission: Admission,
        has_too_many: Callable[[str], bool],
        server: BaseWSGIServer,
        *arguments: Any,  # noqa: ANN401
        **options: Any,  # noqa: ANN401
    ) -> None:
        self._admission = admission
        self._has_too_many = has_too_many
        self._forwarded_for = ""  # the network that the trusted proxy's request came from
        self._is_rejected = False
        self._is_closing = False
        self._lingers_until: float | None = None
        super().__init__(server, *arguments, **options)
        self._network = network_of(self.addr[0])
        self._is_proxy = self.addr[0] == self.adj.trusted_proxy
        self.parser_class = partial(  # type: ignore[assignment]
            RequestParser, self._admit, admission.storage.ensure_room
        )
        if not self._is_proxy and has_too_many(self._network):
            self.handle_close()

    @property
    def client(self) -> str:
        """The network this connection counts for.

        The trusted proxy's counts for that of its request, and for none while it is idle.
        """
        if self._is_proxy:
            return self._forwarded_for if self._is_busy else ""
        return self._network

    @property
    def pool(self) -> Pool:
        """The threads that serve its next request."""
        request = self.requests[0]
        return Pool.SHORT if request.error else self._admission.pool(request.command, request.path)

    def service(self) -> None:
        """Answer the next request, in a thread of its pool."""
        self._is_rejected = self.requests[0].error is not None
        super().service()

    def check_client_disconnected(self) -> bool:  # type: ignore[override]
        """Return whether the client is gone, for the application.

        Nothing is read while a request is being answered, so waitress itself would notice at the
        next write. Bytes of another request show that the client is there.
        """
        try:
            return not self.connected or not self.socket.recv(1, PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def recv(self, buffer_size: int) -> bytes:
        """Read large pieces only of what isn't parsed.

        Parsing a large piece of many tiny requests or chunks would delay all other connections.
        """
        body = self.request and self.request.body_rcv
        unparsed = getattr(body, "remain", 0) if self._lingers_until is None else buffer_size
        data: bytes = super().recv(min(buffer_size, max(unparsed, PARSED_BYTES)))
        return data

    def received(self, data: bytes) -> bool:
        return self._lingers_until is None and super().received(data)

    def reject_slow(self, now: float) -> None:
        """Reject a request that arrives too slowly, and end an overdue wait for a client to read.

        `now` is in seconds of the monotonic clock.
        """
        if self._lingers_until is not None:
            if now > self._lingers_until:
                self.handle_close()
            return
        with self.requests_lock:
            request = self.request
            if request is not None and request.is_slow(now, is_paused=not self.readable()):
                request.reject(RequestTimeout("The request came too slowly"))
                self.request = None
                self.requests.append(request)
                if len(self.requests) == 1:
                    self.server.add_task(self)

    def answer_last(self) -> None:
        """Close the connection after the response to its latest or else its next request."""
        self._is_closing = True
        for request in [self.request, *reversed(self.requests)]:
            if request is not None:
                request.headers["CONNECTION"] = "close"
                return

    def is_idle(self, seconds: float) -> bool:
        """Return whether nothing has happened for longer than that."""
        return not self._is_busy and time.time() - self.last_activity > seconds

    def handle_close(self) -> None:
        """Close the connection, but let a rejected client read the response first.

        Closing a connection with unread bytes resets it, and the response is lost.
        """
        if self.connected and self._is_rejected and self._lingers_until is None:
            self._lingers_until = time.monotonic() + LINGER_SECONDS
            self.will_close = False
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_WR)
                return
        if self.request is not None:
            self.request.close()  # its partial body
        super().handle_close()

    def _admit(self, head: RequestHead) -> Body:
        if self._is_closing:
            head.headers["CONNECTION"] = "close"
        if self._is_proxy:
            self._identify_client(head.headers)
        return self._admission.open_body(head)

    def _identify_client(self, headers: MutableMapping[str, str]) -> None:
        """Count the trusted proxy's connection for the client that it forwards a request of.

        Raises TooManyRequests if that client has too many.
        """
        client = address_of(headers.get("X_FORWARDED_FOR", "").rpartition(",")[2])
        if client:  # waitress takes ::ffff:192.0.2.1 for the address ::ffff and a port
            headers["X_FORWARDED_FOR"] = client
        self._forwarded_for = network_of(client)
        if self._forwarded_for and self._has_too_many(self._forwarded_for):
            raise TooManyRequests("Too many connections", 1)

    @property
    def _is_busy(self) -> bool:
        return bool(self.requests or self.request is not None or self.total_outbufs_len)

    def _flush_outbufs_below_high_watermark(self) -> None:
        """Close a connection whose client doesn't read instead of blocking a thread.

        Waitress would wait here between the responses to pipelined requests.
        """
        if self.total_outbufs_len > self.adj.outbuf_high_watermark:
            with self.requests_lock:
                for request in self.requests[1:]:
                    request.close()
                self.requests = self.requests[:1]
                self.close_when_flushed = True
