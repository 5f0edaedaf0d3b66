"""Requests that wait for a language: how many, and how they end."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.bazarr import samples_of
from tests.support.harness import serving
from tests.support.live import Client, LiveServer
from tests.support.paths import DATA
from tests.support.waiting import until
from tests.support.wire import connected

CLIP = DATA / "austen-0880.wav"
SLOW = {"FAKE_DETECTION_SECONDS": "60", "WHISPER_SERVICE_MODELS_DEFAULT": "ggml-tiny.en"}
PLACES = 4  # of one user
BODY = (
    b'--x\r\nContent-Disposition: form-data; name="audio_file"; filename="a"\r\n\r\n'
    + samples_of(CLIP)
    + b"\r\n--x--\r\n"
)


@pytest.fixture
def server(stub_models: Path, tmp_path: Path) -> Iterator[LiveServer]:
    with serving(tmp_path, stub_models, **SLOW) as live:
        yield live


def request(client: Client) -> bytes:
    lines = [
        "POST /detect-language?encode=false HTTP/1.1",
        "Host: localhost",
        f"Authorization: {client.headers['Authorization']}",
        "Content-Type: multipart/form-data; boundary=x",
        f"Content-Length: {len(BODY)}",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + BODY


def probe(server: LiveServer, client: Client, address: str) -> int | None:
    """Send a request, and return the status of its answer; None if it waits for its turn."""
    with connected(server, address) as wire:
        wire.send(request(client))
        wire.connection.settimeout(1)
        try:
            return wire.status()
        except TimeoutError:
            return None


def test_a_user_has_few_at_once_and_one_that_leaves_frees_its_place(server: LiveServer) -> None:
    ann, bob = Client(server, "ann"), Client(server, "bob")
    with ExitStack() as stack:
        for number in range(PLACES):
            wire = stack.enter_context(connected(server, f"127.0.0.{2 + number % 2}"))
            wire.send(request(ann))
        until(lambda: probe(server, ann, "127.0.0.4") == 429)
        assert probe(server, bob, "127.0.0.4") is None
    until(lambda: probe(server, ann, "127.0.0.5") is None)


def test_one_that_waits_when_the_service_ends_is_told_so(server: LiveServer) -> None:
    ann = Client(server, "ann")
    with connected(server) as under_way, connected(server) as waiting:
        for wire in (under_way, waiting):
            wire.send(request(ann))
        until(lambda: ann.call("GET", "/file")["files"])
        assert probe(server, ann, "127.0.0.4") is None
        server.process.terminate()
        answers = [wire.answer() for wire in (under_way, waiting)]
    assert server.process.wait(30) == 0
    assert [answer.status for answer in answers] == [503, 503]
    assert {answer.text for answer in answers} <= {
        "The server is shutting down",
        "The detection of the language was interrupted. Please try again",
    }
