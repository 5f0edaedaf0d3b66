"""Which URLs an endpoint may have."""

import re
import socket
from urllib.parse import SplitResult, urlsplit

from whisper_service.errors import InvalidRequest
from whisper_service.webhooks import addresses

MAX_LENGTH = 2048
PORTS = {"http": 80, "https": 443}
_PRINTABLE = re.compile(r"[!-~]+")
# In lower case, an IPv6 address without its brackets.
_HOST = re.compile(r"[a-z0-9_][a-z0-9._-]*|[0-9a-f.]*:[0-9a-f:.]*")


def check(url: str, *, allow_private: bool) -> None:
    """Raise InvalidRequest for a URL that no endpoint may have.

    Addresses are checked here in any spelling that the system knows, names only when they are
    resolved for an attempt.
    """
    if len(url) > MAX_LENGTH:
        raise InvalidRequest(f"url must have at most {MAX_LENGTH} characters")
    if not _PRINTABLE.fullmatch(url):
        raise InvalidRequest("url must be percent-encoded: ASCII without spaces")
    parts = _split(url)
    if parts.scheme not in PORTS:
        raise InvalidRequest("url must begin with http:// or https://")
    if "@" in parts.netloc:
        raise InvalidRequest("url must not contain credentials")
    if "#" in url:
        raise InvalidRequest("url must not contain a fragment")
    _check_host(parts.hostname or "", allow_private=allow_private)


def host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or PORTS[parts.scheme]


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:  # of brackets, or of a port
        raise InvalidRequest("url must have a valid host and a port from 1 to 65535") from error
    if port == 0:
        raise InvalidRequest("url must have a valid host and a port from 1 to 65535")
    return parts


def _check_host(host: str, *, allow_private: bool) -> None:
    try:
        host.encode("idna")  # as the resolver does; checks the length of the labels
    except UnicodeError:
        host = ""
    if not _HOST.fullmatch(host):
        raise InvalidRequest("url must have a valid host and a port from 1 to 65535")
    try:
        found = addresses.look_up(host, 0, socket.AI_NUMERICHOST)
    except socket.gaierror:
        return  # a name
    if not (allow_private or all(addresses.is_public(each) for each in found)):
        raise InvalidRequest("url must not lead to a private or reserved address")
