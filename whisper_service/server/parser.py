"""Requests while they come in, and why some are refused before they are there.

Waitress asks the application once a request has been received whole. So a stranger could fill the
disk: this is its parser with the rules that have to hold earlier.
"""

import errno
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

from waitress.parser import HTTPRequestParser

from whisper_service.errors import InvalidRequest, ServiceError, StorageFull, TooLarge

# The longest line of what is parsed.
PARSED_BYTES = 8192
# Waitress keeps smaller bodies in memory.
SPOOLED_BYTES = 512 * 1024


@dataclass(frozen=True)
class RequestHead:
    """What is known of a request with a body when its headers have come.

    The names in `headers` are as in WSGI, without HTTP_. `length` is 0 for a body in chunks.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    length: int


@dataclass(frozen=True)
class Rules:
    """What the server needs to know of the application.

    `max_body_bytes` returns how many bytes a body may have, or raises the ServiceError that
    refuses it. `render_error` returns the content type and the text of an error on a path.
    `has_room` returns whether the disk has room for so many bytes more. `pool` names the threads
    that serve a request, by its method and path. `per_address` connections are let in from one
    address; those of the trusted proxy ('' for none) count for whom it speaks.
    """

    max_body_bytes: Callable[[RequestHead], int]
    render_error: Callable[[str, ServiceError], tuple[str, str]]
    has_room: Callable[[int], bool]
    pool: Callable[[str, str], str]
    per_address: int
    trusted_proxy: str


class Connection(Protocol):
    """Where a request comes from."""

    is_refused: bool

    @property
    def is_last(self) -> bool:
        """Tell whether no other request is answered after this one."""

    def know_client(self, headers: MutableMapping[str, str]) -> None:
        """Take note of whom a proxy speaks for, and leave that alone in `headers`.

        Raises TooManyRequests.
        """


class ErrorResponse:
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


class Parser(HTTPRequestParser):
    # The stubs for these are wrong. Waitress has no values for a first line that is no such.
    headers: Any
    body_rcv: Any
    error: Any
    command: Any = ""
    path: Any = ""

    def __init__(self, rules: Rules, connection: Connection, adj: Any) -> None:  # noqa: ANN401
        super().__init__(adj)
        self._rules = rules
        self._connection = connection
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
        self.error = ErrorResponse(error, *self._rules.render_error(self.path, error))
        self._connection.is_refused = True
        self.completed = True
        self.expect_continue = False

    def _take(self, data: bytes) -> int:
        if self.body_bytes_received + len(data) > SPOOLED_BYTES:
            self._ensure_room(len(data))
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
        if self._connection.is_last:
            self.headers["CONNECTION"] = "close"
        if self._most is None:
            self._check_version()
            self.path = f"/{self.path.lstrip('/')}"  # as the application will see it
            self._connection.know_client(self.headers)
            self._most = self._max_body_bytes()
        if max(self.content_length, self.body_bytes_received) > self._most:
            raise TooLarge("Request Entity Too Large")
        if self.chunked and len(self.body_rcv.control_line + self.body_rcv.trailer) > PARSED_BYTES:
            raise InvalidRequest("Bad Request")

    def _check_version(self) -> None:
        """Raise InvalidRequest unless both ends see the same end of the body (RFC 9112, 6.1)."""
        if self.version not in {"1.0", "1.1"}:
            raise InvalidRequest("Only HTTP/1.0 and HTTP/1.1 are supported")
        if "TRANSFER_ENCODING" in self.headers:  # which the parser takes out of HTTP/1.1
            raise InvalidRequest("Transfer-Encoding needs HTTP/1.1")

    def _ensure_room(self, size: int) -> None:
        """Raise StorageFull unless `size` bytes leave the reserve untouched.

        With the first of them goes to disk what was kept in memory.
        """
        if not self._rules.has_room(size + SPOOLED_BYTES):
            raise StorageFull("The server's disk is full")

    def _max_body_bytes(self) -> int:
        if self.body_rcv is None:
            self.expect_continue = False  # or waitress would wait for a body
            return 0
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise InvalidRequest("A body has either a length or chunks")  # a proxy may see another
        head = RequestHead(self.command, self.path, self.headers, self.content_length)
        return self._rules.max_body_bytes(head)
