"""Request parsing with limits that apply while a request arrives.

Waitress calls the application once a request is complete. By then anybody could have filled the
disk, so this subclass of its parser rejects requests before the body arrives.
"""

import errno
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from waitress.parser import HTTPRequestParser

from whisper_service.errors import InvalidRequest, ServiceError, StorageFull, TooLarge
from whisper_service.server import key_path
from whisper_service.web.errors import render_error
from whisper_service.web.route_options import Body, BodyReceiver, RequestHead

# The longest line of a chunked body, and how much of unparsed input to read at once.
PARSED_BYTES = 8192
# Waitress keeps smaller bodies in memory.
SPOOLED_BYTES = 512 * 1024
HEADER_SECONDS = 10.0
# The minimum rate of a body in bytes per second, and how often it is measured.
BODY_RATE = 1024
BODY_SECONDS = 20.0


class ErrorResponse:
    """A ServiceError in the form that waitress expects of a parser's `error`."""

    def __init__(self, error: ServiceError, path: str) -> None:
        self._error = error
        self._path = path

    def to_response(self, _ident: str | None) -> tuple[str, list[tuple[str, str]], bytes]:
        error = self._error
        content_type, text = render_error(self._path, error)
        headers = [
            ("Content-Type", content_type),
            ("X-Content-Type-Options", "nosniff"),
            ("Cache-Control", "no-store"),  # its URL may have a key in it
        ]
        if error.retry_after:
            headers.append(("Retry-After", str(error.retry_after)))
        headers += error.headers.items()
        return f"{error.status} {HTTPStatus(error.status).phrase}", headers, text.encode()


class ReceivedBody:
    """Waitress's buffer for a body that a receiver gets as it arrives."""

    def __init__(self, receiver: BodyReceiver) -> None:
        self.append = receiver.write
        self.close = receiver.close
        self._receiver = receiver

    def __len__(self) -> int:
        return 0

    def getfile(self) -> BodyReceiver:
        return self._receiver


class RequestParser(HTTPRequestParser):
    """Parses one request.

    `admit` is called with its head and returns what its body may be, or raises a ServiceError that
    becomes the response. `ensure_room` raises StorageFull if the disk doesn't
    have room for a number of bytes.
    """

    # The stubs for these are wrong. Without a valid request line, waitress sets no method or path.
    headers: Any
    body_rcv: Any
    error: Any
    command: Any = ""
    path: Any = ""
    request_uri: Any
    first_line: Any

    def __init__(
        self,
        admit: Callable[[RequestHead], Body],
        ensure_room: Callable[[int], None],
        adj: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(adj)
        self._admit = admit
        self._ensure_room = ensure_room
        self._max_body_bytes: int | None = None
        self._measured = time.monotonic(), 0  # when, and the bytes of the body by then

    def received(self, data: bytes) -> int:
        """Return how much of `data` was used. After a rejected request nothing is a request."""
        try:
            consumed = self._receive(data)
        except ServiceError as error:
            self.reject(error)
        except ValueError:  # an invalid number or IPv6 address in the request line
            self.reject(InvalidRequest("Bad Request"))
        return len(data) if self.error is not None else consumed

    def parse_header(self, header_plus: bytes) -> None:
        """Parse the head, of which no path with a key in it is left, even if it is invalid."""
        try:
            super().parse_header(header_plus)
        finally:
            self.first_line = b""  # is not used
            path = key_path.move_to_header(self.path, self.headers)
            if path != self.path:
                self.path = self.request_uri = path

    def reject(self, error: ServiceError) -> None:
        """Complete the request with an error as its response, whatever is still to come."""
        self.error = ErrorResponse(error, self.path)
        self.completed = True
        self.expect_continue = False

    def is_slow(self, now: float, *, is_paused: bool) -> bool:
        """Return whether the request arrives too slowly. The time while reading is paused is free.

        `now` is in seconds of the monotonic clock.
        """
        if is_paused:
            self._measured = now, self.body_bytes_received
        since, received = self._measured
        if not self.headers_finished:
            return now - since > HEADER_SECONDS
        if now - since < BODY_SECONDS:
            return False
        self._measured = now, self.body_bytes_received
        return self.body_bytes_received - received < BODY_RATE * (now - since)

    def _receive(self, data: bytes) -> int:
        if self.body_bytes_received + len(data) > SPOOLED_BYTES:
            # What was kept in memory moves to disk with the first piece that is written there.
            self._ensure_room(len(data) + SPOOLED_BYTES)
        try:
            consumed = super().received(data)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StorageFull("The server's disk is full") from error
            raise
        if self.error is not None:
            raise ServiceError(self.error.body, self.error.code)
        if self.headers_finished and not self.empty:
            if self._max_body_bytes is None:
                self._max_body_bytes = self._check_head()
            self._check_body(self._max_body_bytes)
        return consumed

    def _check_head(self) -> int:
        self._check_framing()
        self.path = f"/{self.path.lstrip('/')}"  # as waitress passes it to the application
        has_body = self.body_rcv is not None
        if not has_body:
            self.expect_continue = False  # waitress would wait for a body
        head = RequestHead(self.command, self.path, self.headers, has_body, self.content_length)
        body = self._admit(head)
        if body.receiver:
            self.body_rcv.buf = ReceivedBody(body.receiver)
            self.headers["CONTENT_LENGTH"] = "0"  # is left for the application
        return body.max_bytes

    def _check_framing(self) -> None:
        """Raise InvalidRequest if a proxy may see another end of the body (RFC 9112, 6.1)."""
        if self.version not in {"1.0", "1.1"}:
            raise InvalidRequest("Only HTTP/1.0 and HTTP/1.1 are supported")
        if "TRANSFER_ENCODING" in self.headers:  # waitress removes it from an HTTP/1.1 request
            raise InvalidRequest("Transfer-Encoding needs HTTP/1.1")
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise InvalidRequest("A body has either a length or chunks")

    def _check_body(self, max_bytes: int) -> None:
        if max(self.content_length, self.body_bytes_received) > max_bytes:
            raise TooLarge("Request Entity Too Large")
        if self.chunked and len(self.body_rcv.control_line + self.body_rcv.trailer) > PARSED_BYTES:
            raise InvalidRequest("Bad Request")
