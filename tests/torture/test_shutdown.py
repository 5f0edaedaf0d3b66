"""SIGTERM while requests of all kinds are under way and jobs run."""

import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
from urllib3.filepost import encode_multipart_formdata

from tests.support.database import rows
from tests.support.harness import Figure, assert_caught, canary, scale, seeded
from tests.support.recordings import as_wav, sound
from tests.support.site import SECONDS, Client, Site
from tests.support.waiting import until
from tests.support.wire import Wire, connected, head

EXIT_SECONDS = 30
ASKERS, HALF_UPLOADERS = 5, 3
# How long the rest of a body stays away of which the first part had come at the signal.
LATEST_REST = 1.0
LONGEST_LIFE = 0.8
JOB_SECONDS = 0.7
SPOKEN = ("en", "de", "fr", "es", "it")


@dataclass
class Asked:
    """A request: when it, or its first part, had been sent, and when it was answered."""

    what: str
    sent: float
    answered: float = float("inf")
    status: int = 0


@dataclass
class Load:
    """Requests of many kinds to one service, until it gets the signal to end."""

    client: Client
    signalled: threading.Event = field(default_factory=threading.Event)
    asked: list[Asked] = field(default_factory=list)

    def ask_on(self, random: Random) -> None:
        """Ask one thing after the other on a connection that is kept."""
        with connected(self.client.site.server) as wire:
            while not self.signalled.is_set() and self._ask(wire, [self._any(random)]):
                pass

    def upload_by_halves(self, random: Random) -> None:
        """Send a part of an upload before the signal, and the rest some time after it."""
        request = self._upload(random)
        middle = random.randrange(len(request))
        with connected(self.client.site.server) as wire:
            self._ask(wire, [request[:middle], request[middle:]], random.uniform(0, LATEST_REST))

    def _ask(self, wire: Wire, parts: Sequence[bytes], pause: float = 0) -> bool:
        """Return whether the next request may be sent on the same connection."""
        first, *others = parts
        try:
            wire.send(first)
            asked = Asked(first[:30].decode(), time.monotonic())
            self.asked.append(asked)
            for part in others:
                self.signalled.wait(SECONDS)
                time.sleep(pause)
                wire.send(part)
            answer = wire.answer()
        except (OSError, EOFError):
            return False
        asked.answered, asked.status = time.monotonic(), answer.status
        return answer.headers.get("connection") != "close"

    def _any(self, random: Random) -> bytes:
        requests = (
            self._request("GET", "/user"),
            self._request("GET", "/file?limit=100"),
            self._request("POST", "/user/login", json.dumps(self.client.account).encode()),
            self._upload(random),
        )
        return random.choice(requests)

    def _upload(self, random: Random) -> bytes:
        form = {"file": ("sound.wav", as_wav(sound(random, 0.3)))}
        return self._request("POST", "/file", *encode_multipart_formdata(form))

    def _request(
        self, method: str, path: str, body: bytes = b"", kind: str = "application/json"
    ) -> bytes:
        who = self.client.authorization
        headers = {"Authorization": who, "Content-Type": kind, "Content-Length": len(body)}
        return head(method, path, **headers) + body


@dataclass
class Ends:
    """What came of the services that were ended."""

    in_flight: int = 0
    slowest: float = 0


def attack(folder: Path, times: int, *, broken: str = "") -> Ends:
    ends = Ends()
    with Site(folder, broken=broken, seconds=JOB_SECONDS) as site:
        client = Client(site, "ann")
        for number in range(times):
            if number:
                site.start()
            random = seeded(number)
            queue_jobs(client, random)
            end_under_load(Load(client), random, ends)
            assert_no_attempt_is_burnt(site.storage)
        client.close()
    assert rows(site.storage, "SELECT 1 FROM ledger WHERE kind = 'refund'"), "no job was put back"
    return ends


def queue_jobs(client: Client, random: Random) -> None:
    file = client.upload(sound(random, 0.3))
    for language in SPOKEN:
        client.order(file, language=language)
    running = "SELECT 1 FROM transcription WHERE status = 'processing'"
    until(lambda: rows(client.site.storage, running))


def end_under_load(load: Load, random: Random, ends: Ends) -> None:
    ways = [load.ask_on] * ASKERS + [load.upload_by_halves] * HALF_UPLOADERS
    with ThreadPoolExecutor(len(ways)) as pool:
        asking = [pool.submit(way, seeded(random.randrange(10**6))) for way in ways]
        until(lambda: len(load.asked) >= len(ways))
        time.sleep(random.uniform(0, LONGEST_LIFE))
        signalled = time.monotonic()
        load.client.site.terminate()
        load.signalled.set()
        assert load.client.site.wait(EXIT_SECONDS) == 0
        ends.slowest = max(ends.slowest, time.monotonic() - signalled)
        for client in asking:
            client.result(SECONDS)
    before = [asked for asked in load.asked if asked.sent < signalled]
    assert [asked for asked in before if asked.status != 200] == []
    ends.in_flight += sum(asked.answered > signalled for asked in before)


def assert_no_attempt_is_burnt(storage: Path) -> None:
    found = rows(storage, "SELECT DISTINCT status, attempts FROM transcription")
    assert set(found) <= {("pending", 0), ("completed", 0)}


def test_ended_under_load(tmp_path: Path, figure: Figure) -> None:
    times = scale(25, 2)
    ends = attack(tmp_path, times)
    figure(
        f"SIGTERM under load, {times} times",
        "exit 0 within 30 s, all in flight answered",
        f"{ends.slowest:.1f} s, all of {ends.in_flight}",
    )
    assert ends.in_flight >= times * HALF_UPLOADERS


@canary
@pytest.mark.parametrize("broken", ["no answer at the end", "attempts burnt"])
def test_the_attack_detects(tmp_path: Path, broken: str) -> None:
    assert_caught(lambda: attack(tmp_path, 1, broken=broken))
