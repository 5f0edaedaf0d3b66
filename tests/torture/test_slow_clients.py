"""Clients that hold connections: heads and bodies that drip, and readers who stall."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.harness import FULL, Figure, canary, scale, serving
from tests.support.live import Client, LiveServer
from tests.support.load import Result, kind, loaded, plan
from tests.support.uploads import MIB, Recording, send
from tests.support.wire import connect, head

SOURCES = [f"127.0.0.{number}" for number in range(2, 10)]
# How long the door lets a head drip, and how often it looks at a body's pace.
LIMITS = {"heads": 10.0, "bodies": 20.0} if FULL else {"heads": 1.5, "bodies": 1.5}
SLACK_SECONDS = 5.0 if FULL else 10.0
STARTS = {
    "heads": head("GET", "/health")[:-2] + b"A: ",
    "bodies": head("POST", "/user/login", Content_Length=60_000),
}
ENVIRON = {} if FULL else {"DOOR_SECONDS": "1.5"}


@dataclass
class Drip:
    """A request of which a byte comes every half second."""

    shape: str
    connection: socket.socket
    begun: float = field(default_factory=time.monotonic)

    def go_on(self) -> bytes | None:
        """Send a byte; return what was answered, nothing for the connection's end."""
        with suppress(BlockingIOError):
            return self.connection.recv(4096)
        with suppress(BlockingIOError):
            self.connection.send(b"a")
        return None


class Drips:
    """So many slow requests at any time. Where one ends, the next begins."""

    def __init__(self, server: LiveServer, shapes: dict[str, int]) -> None:
        self.answers: list[bytes] = []
        self.longest = dict.fromkeys(shapes, 0.0)
        self._server = server
        self._over = threading.Event()
        self._number = 0
        self._drips = [
            self._begin(shape) for shape, number in shapes.items() for _ in range(number)
        ]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        self._over.set()
        self._thread.join()
        for drip in self._drips:
            self._note(drip)
            drip.connection.close()

    def _run(self) -> None:
        while not self._over.wait(0.5):
            for place, drip in enumerate(self._drips):
                try:
                    answer = drip.go_on()
                except OSError:
                    answer = b""
                if answer is not None:
                    self.answers.append(answer)
                    self._note(drip)
                    drip.connection.close()
                    self._drips[place] = self._begin(drip.shape)

    def _begin(self, shape: str) -> Drip:
        self._number += 1
        connection = connect(self._server, SOURCES[self._number % len(SOURCES)])
        connection.sendall(STARTS[shape])
        connection.settimeout(0)
        return Drip(shape, connection)

    def _note(self, drip: Drip) -> None:
        lasted = time.monotonic() - drip.begun
        self.longest[drip.shape] = max(self.longest[drip.shape], lasted)


@contextmanager
def stalled(server: LiveServer, readers: int) -> Iterator[None]:
    """Ask for the rest of a large file, so many times, and read none of it."""
    client = Client(server, "ann")
    uuid = send(server, client, Recording(24 * MIB))["uuid"]
    with ExitStack() as stack:
        for number in range(readers):
            connection = stack.enter_context(connect(server, SOURCES[number % len(SOURCES)]))
            connection.sendall(head("GET", f"/file/{uuid}", Range="bytes=1-"))
            assert connection.recv(12) == b"HTTP/1.1 206"
        yield


def attack(
    folder: Path, models: Path, sizes: tuple[int, int, int], seconds: float, **how: Any
) -> tuple[Result, Drips]:
    """Hold connections; return what a healthy client got, and how long it went well."""
    heads, bodies, readers = sizes
    with serving(folder, models, **ENVIRON, **how) as server, stalled(server, readers):
        drips = Drips(server, {"heads": heads, "bodies": bodies})
        healthy = plan(
            server.url, [kind("health", 1, head("GET", "/health"))], 2, seconds, pause=0.02
        )
        try:
            with loaded(healthy) as result:
                pass
        finally:
            drips.end()
    assert set(result.statuses()) == {200}
    assert result.percentile(99) < (500 if FULL else 5000)
    assert len(drips.answers) > heads + bodies
    assert {answer[8:12] for answer in drips.answers} == {b" 408"}
    for shape, limit in LIMITS.items():
        assert drips.longest[shape] < limit + SLACK_SECONDS
    return result, drips


def test_slow_clients_hold_nobody_up(stub_models: Path, tmp_path: Path, figure: Figure) -> None:
    sizes = (scale(400, 40), scale(100, 10), scale(50, 5))
    result, drips = attack(tmp_path, stub_models, sizes, scale(40, 5))
    figure(
        "slow clients: {} heads, {} bodies, {} stalled ranges".format(*sizes),
        "a healthy client's p99 < 500 ms",
        f"p50 {result.percentile(50):.0f}, p99 {result.percentile(99):.0f} ms of "
        f"{len(result.asked)}; {len(drips.answers)} ended by 408",
    )


@canary
def test_the_attack_detects_missing_deadlines(stub_models: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        attack(tmp_path, stub_models, (90, 10, 5), 2, broken="no deadlines")
