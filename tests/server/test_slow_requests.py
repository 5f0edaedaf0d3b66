"""Requests that arrive too slowly are refused; those that keep the pace are received."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.harness import start
from tests.support.live import LiveServer, served
from tests.support.wire import Wire, connected, head


@pytest.fixture(scope="module")
def hasty(stub_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server whose deadlines are short."""
    folder = tmp_path_factory.mktemp("hasty")
    yield from served(start(folder, stub_models, DOOR_SECONDS="1.5"))


def test_a_head_that_comes_too_slowly_is_refused(hasty: LiveServer) -> None:
    with connected(hasty) as wire:
        wire.send(head("GET", "/health")[:-2])
        dripping(wire, b"A: b\r\n")


def test_a_body_that_comes_too_slowly_is_refused(hasty: LiveServer) -> None:
    with connected(hasty) as wire:
        wire.send(head("POST", "/user/login", Content_Length=60_000))
        dripping(wire, b" ")


def dripping(wire: Wire, drop: bytes) -> None:
    """Send drop after drop until there is an answer, which says that this is too slow."""
    wire.connection.settimeout(0.1)
    begun = time.monotonic()
    while True:
        assert time.monotonic() < begun + 60
        wire.send(drop)
        with suppress(TimeoutError):
            answer = wire.answer()
            break
    assert (answer.status, answer.text) == (408, "The request came too slowly")
    assert time.monotonic() > begun + 1.4


@pytest.mark.torture
def test_a_slow_body_that_keeps_the_pace_is_received(hasty: LiveServer) -> None:
    with connected(hasty) as wire:
        wire.send(head("POST", "/user/login", Content_Length=50_000))
        for _ in range(50):
            wire.send(b" " * 1000)
            time.sleep(0.08)
        assert wire.answer().text == "Invalid JSON body"
