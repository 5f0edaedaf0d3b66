"""Requests that are no HTTP, or no unambiguous HTTP."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.live import LiveServer, served, start_server
from tests.support.wire import connected
from whisper_service.server.parser import PARSED_BYTES

MALFORMED = {
    "no request": (b"hello\r\n\r\n", 400),
    "small letters": (b"get / HTTP/1.1\r\n\r\n", 400),
    "bare newline": (b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n", 400),
    "no header": (b"GET / HTTP/1.1\r\nnothing\r\n\r\n", 400),
    "no address": (b"GET http://[ HTTP/1.1\r\n\r\n", 400),
    "long head": (b"GET / HTTP/1.1\r\nA: " + b"x" * 40_000 + b"\r\n\r\n", 431),
    "negative length": (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
    "two lengths": (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    "huge length": (b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 4000 + b"\r\n\r\n", 413),
    "long length": (b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
    "coding": (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    "length and chunks": (
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "old version": (b"GET / HTTP/0.9\r\n\r\n", 400),
    "unknown version": (b"GET /api/v1/health HTTP/1.9\r\nHost: localhost\r\n\r\n", 400),
    "no version": (b"GET /api/v1/health\r\n\r\n", 400),
    "chunks of an unknown version": (
        b"POST / HTTP/1.9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "chunks in 1.0": (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "no chunk": (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
    "endless chunk": (
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * (3 * PARSED_BYTES),
        400,
    ),
    "endless trailer": (
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"a" * (3 * PARSED_BYTES),
        400,
    ),
}


@pytest.fixture(scope="module")
def server(stub_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    yield from served(start_server(tmp_path_factory.mktemp("malformed"), stub_models))


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_http_is_answered_in_plain_text(server: LiveServer, name: str) -> None:
    request, status = MALFORMED[name]
    with connected(server) as wire:
        answer = wire.asked(request)
        assert answer.status == status
        assert answer.text
        assert answer.headers["connection"] == "close"
        assert wire.is_ended()
