"""Bytes that are nearly HTTP, over the wire. None may be a failure of the service."""

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from random import Random

import pytest

from tests.support.harness import SEED, Figure, canary, scale, serving
from tests.support.live import Client, LiveServer
from tests.support.odd_values import (
    JSON,
    METHODS,
    ODD_BODIES,
    ODD_HEADERS,
    ODD_JSON,
    ODD_PARTS,
    ODD_QUERIES,
    ODD_SEGMENTS,
)
from tests.support.wire import connect, connected, head

REQUESTS = scale(20_000, 1500)
AT_ONCE = 4
ROUTES = [
    *("GET /health", "GET /user", "PATCH /user", "GET /file", "POST /file", "GET /transcribe/{}"),
    *("POST /user/login", "POST /user/register", "POST /user/token", "DELETE /file/{}"),
    *("GET /file/{}", "PATCH /file/{}", "POST /transcribe", "GET /user/avatar/{}", "GET /model"),
]
VERSIONS = [b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.1 ", b"http/1.1", b"HTTP/11", b"", b"X"]
ODD_LINES = [
    *(b"Content-Length: -1", b"Content-Length: 1e3", b"Content-Length: " + b"9" * 5000),
    *(b"Content-Length: 0\r\nContent-Length: 5", b"Content-Length: 99", b"Content-Length:"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked, x"),
    *(b"Transfer-Encoding:\x0bchunked", b"Expect: 100-continue", b"Connection: close", b"Host"),
    *(b" folded: x", b"A:b\x00c", b"A b: c", b": x", b"\xff: \xff", b"A: " + b"x" * 40_000, b"\n"),
    *(b"A: b\r\n" * 3000, b"Connection: keep-alive", b"Upgrade: h2c", b"_a_: b", b"Host: [", b"\r"),
]
CHUNKS = [
    *(
        b"0\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhel",
        b"-1\r\n",
        b"ffffffffffffffffffff\r\nx",
    ),
    *(b"5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n", b"5\nhello\n", b"x" * 9000, b"0\r\n" + b"a" * 9000),
]
ANSWER = re.compile(rb"HTTP/1\.[01] (\d{3}) [ -~]+\r\n((?:[ -~]+\r\n)*)\r\n")

# OpenAI's dialect has errors of its own.
PLAIN = re.compile(rb"content-type: (text/plain; charset=utf-8|application/json)\r\n")


def written(chance: Random, key: str, uuid: str) -> bytes:
    """Write a request that is right, and then do one or two things to it."""
    method, path = chance.choice(ROUTES).split()
    path = path.format(uuid if chance.random() < 0.7 else chance.choice(ODD_SEGMENTS))
    if chance.random() < 0.2:
        path += f"?{chance.choice(ODD_QUERIES)}"
    body = chance.choice([b"", chance.choice(ODD_BODIES), as_form(chance), as_json(chance)])
    headers: dict[str, object] = {"Content_Type": JSON}
    if chance.random() < 0.7:
        headers["Authorization"] = key
    if body:
        headers["Content_Length"] = len(body)
    if chance.random() < 0.3:
        name = chance.choice(list(ODD_HEADERS))
        headers[name.replace("-", "_")] = chance.choice(ODD_HEADERS[name])
    if body.startswith(b"--x"):
        headers["Content_Type"] = "multipart/form-data; boundary=x"
    request = head(method, path, **headers) + body
    for _ in range(chance.randrange(3)):
        request = chance.choice(CHANGES)(chance, request)
    return request


def as_form(chance: Random) -> bytes:
    return chance.choice(ODD_PARTS) + b"--x--\r\n"


def as_json(chance: Random) -> bytes:
    name = chance.choice(["username", "password", "uuid", "format", "model", "name", "filename"])
    return f'{{"{name}": {chance.choice(ODD_JSON)}}}'.encode(errors="surrogatepass")


def with_line(chance: Random, request: bytes) -> bytes:
    start, _, rest = request.partition(b"\r\n")
    return b"\r\n".join([start, chance.choice(ODD_LINES), rest])


def in_chunks(chance: Random, request: bytes) -> bytes:
    start, _, _ = request.partition(b"\r\n\r\n")
    return start + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chance.choice(CHUNKS)


def with_version(chance: Random, request: bytes) -> bytes:
    return request.replace(b"HTTP/1.1", chance.choice(VERSIONS), 1)


def with_method(chance: Random, request: bytes) -> bytes:
    return chance.choice(METHODS).encode() + request[request.find(b" ") :]


def with_bytes(chance: Random, request: bytes) -> bytes:
    """Replace some bytes by others, or drop them."""
    changed = bytearray(request)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(changed))
        changed[at : at + chance.randrange(4)] = chance.randbytes(chance.randrange(4))
    return bytes(changed) or b"\0"


def cut(chance: Random, request: bytes) -> bytes:
    return request[: chance.randrange(1, len(request) + 1)]


def followed(chance: Random, request: bytes) -> bytes:
    return request + chance.choice([b"\r\n", b"\0", b"GET ", head("GET", "/health"), request])


CHANGES = [with_line, in_chunks, with_version, with_method, with_bytes, cut, followed]


def statuses(server: LiveServer, request: bytes) -> list[int]:
    """Send a request and that nothing follows; check all answers and return their statuses."""
    with connect(server) as connection:
        received = b""
        try:
            connection.sendall(request)
            connection.shutdown(1)
            while more := connection.recv(1 << 16):
                received += more
        except TimeoutError:
            raise
        except OSError:
            pass  # a reset; what came before it counts all the same
    found = []
    for answer in ANSWER.finditer(received):
        status, headers = int(answer[1]), answer[2].lower()
        assert status < 500 or status in {501, 507}, (request, received)
        if status >= 400:
            assert PLAIN.search(headers), (request, received)
        found.append(status)
    assert found or not received, (request, received)
    return found


def attack(folder: Path, models: Path, number: int, broken: str = "") -> Counter[int]:
    """Send so many requests; return the statuses of the answers, 0 for none."""
    with serving(folder, models, broken=broken) as server:
        client = Client(server, "ann")
        key = client.headers["Authorization"]
        uuid = client.call("GET", "/user")["uuid"]
        # Made beforehand, so that they are the same whichever thread is first.
        chance = Random(SEED)  # noqa: S311
        requests = (written(chance, key, uuid) for _ in range(number))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(partial(statuses, server), requests))
        with connected(server) as wire:
            assert wire.asked(head("GET", "/health")).status == 200
    return Counter(status for found in answers for status in found or [0])


def test_malformed_http_is_no_failure(stub_models: Path, tmp_path: Path, figure: Figure) -> None:
    found = attack(tmp_path, stub_models, REQUESTS)
    # What is sent comes as far as every kind of refusal, and some of it is right.
    assert found.keys() >= {0, 200, 400, 401, 404, 405, 413, 431, 501}
    figure(f"malformed HTTP, {REQUESTS} raw requests", "0 answers of 500, server up", f"{found}")


@canary
def test_the_attack_detects_an_unexpected_error(stub_models: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        attack(tmp_path, stub_models, 150, "ids trusted")
