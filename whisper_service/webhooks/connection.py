"""Connections to addresses that were checked, never to a name.

Libraries that resolve names themselves could be led elsewhere between the check and the connection.
"""

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import cache
from urllib.parse import urlsplit

from whisper_service.webhooks.deadline import Deadline
from whisper_service.webhooks.urls import host_and_port

MAX_ADDRESSES = 4  # of a host, which are tried one after another


@contextmanager
def connected(url: str, addresses: list[str], deadline: Deadline) -> Iterator[socket.socket]:
    """Connect to the first of a URL's addresses that can be reached, with TLS for https.

    Raises OSError, among them TimeoutError and ssl.SSLError, Cancelled.
    """
    host, port = host_and_port(url)
    with ExitStack() as stack:
        connection = _connect(stack, addresses[:MAX_ADDRESSES], port, deadline)
        is_secure = urlsplit(url).scheme == "https"
        yield _secure(stack, connection, host, deadline) if is_secure else connection


def _connect(
    stack: ExitStack, addresses: list[str], port: int, deadline: Deadline
) -> socket.socket:
    """Return a connection to the first address that accepts one, each in its share of the time."""
    for remaining in range(len(addresses), 1, -1):
        with suppress(OSError):
            return _open(stack, addresses[-remaining], port, deadline, remaining)
    return _open(stack, addresses[-1], port, deadline)


def _open(
    stack: ExitStack, address: str, port: int, deadline: Deadline, share: int = 1
) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    connection = stack.enter_context(_unblocked(socket.socket(family), deadline))
    connection.settimeout(deadline.left() / share)
    connection.connect((address, port))
    return connection


def _secure(stack: ExitStack, plain: socket.socket, host: str, deadline: Deadline) -> ssl.SSLSocket:
    """Return the connection with TLS, to a host whose certificate is valid for its name."""
    secured = _tls().wrap_socket(
        plain, server_hostname=host.rstrip("."), do_handshake_on_connect=False
    )
    stack.enter_context(_unblocked(secured, deadline))
    secured.settimeout(deadline.left())
    secured.do_handshake()
    return secured


@cache
def _tls() -> ssl.SSLContext:
    """Read the system's certificate authorities, which takes a moment."""
    return ssl.create_default_context()


@contextmanager
def _unblocked(connection: socket.socket, deadline: Deadline) -> Iterator[socket.socket]:
    """Close a socket afterwards, and shut it down as soon as the attempt is cancelled."""

    def shut_down() -> None:
        with suppress(OSError):
            # Not the method of an SSL socket, which would go on in plain text.
            socket.socket.shutdown(connection, socket.SHUT_RDWR)

    with closing(connection), deadline.cancellation.unblock(shut_down):
        yield connection
