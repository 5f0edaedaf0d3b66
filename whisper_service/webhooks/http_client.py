"""One HTTP request within a time.

The timeouts of libraries begin anew with every byte.
"""

import http.client
import io
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from whisper_service.webhooks.connection import connected
from whisper_service.webhooks.deadline import Deadline

MAX_RESPONSE_BYTES = 16 * 1024  # of its head; the body is not read
# Statuses with which a receiver may say when it wants the message again (RFC 9110, section 10.2.3).
_MAY_WAIT = {429, 503}
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)[ \r\n]")


@dataclass(frozen=True)
class Response:
    """`retry_after` is in seconds; 0 if the receiver doesn't say."""

    status: int
    retry_after: int = 0


def post(
    url: str, addresses: list[str], headers: Mapping[str, str], body: bytes, deadline: Deadline
) -> Response:
    """Send a message to the first of the addresses that can be reached.

    Redirects are not followed. Raises OSError, among them TimeoutError and ssl.SSLError,
    http.client.HTTPException for a response that is no HTTP, Cancelled.
    """
    with connected(url, addresses, deadline) as connection:
        connection.settimeout(deadline.left())
        connection.sendall(_request(url, headers, body))
        return _read_head(io.BufferedReader(_Reader(connection, deadline)))


def _request(url: str, headers: Mapping[str, str], body: bytes) -> bytes:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [
        f"POST {target} HTTP/1.1",
        f"host: {parts.netloc}",
        *(f"{name}: {value}" for name, value in headers.items()),
        f"content-length: {len(body)}",
        "connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def _read_head(reader: io.BufferedReader) -> Response:
    """Read a response as far as it matters, and skip provisional ones (RFC 9110, section 15.2)."""
    while True:
        line = reader.readline()
        found = _STATUS_LINE.match(line)
        if not found:
            raise http.client.BadStatusLine("")
        status = int(found[1])
        if status >= 200 and status not in _MAY_WAIT:
            return Response(status)
        headers = http.client.parse_headers(reader)
        if status >= 200:
            return Response(status, _seconds(headers.get("retry-after", "")))


def _seconds(retry_after: str) -> int:
    """Return what a Retry-After header says in seconds; a date is not supported."""
    text = retry_after.strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


class _Reader(io.RawIOBase):
    """Reads from a socket as long as the time and the allowed size last."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._connection = connection
        self._deadline = deadline
        self._allowed = MAX_RESPONSE_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        if not self._allowed:
            return 0
        self._connection.settimeout(self._deadline.left())
        count = self._connection.recv_into(buffer, min(len(buffer), self._allowed))
        self._allowed -= count
        return count
