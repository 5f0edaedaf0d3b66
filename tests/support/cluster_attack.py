"""Harm to a cluster at random, while users have recordings transcribed, and what has to hold."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from os import kill
from pathlib import Path
from random import Random

from tests.support.audit import audit_jobs
from tests.support.cluster_faults import CHUNK_SECONDS, Cluster, Part
from tests.support.database import rows
from tests.support.fake_engine import words_of
from tests.support.harness import seeded
from tests.support.recordings import sound
from tests.support.site import TOKENS, Client, Promises, Site
from tests.support.waiting import until
from whisper_service import db
from whisper_service.audio import FRAME_SAMPLES
from whisper_service.commands import check
from whisper_service.files.storage import Storage
from whisper_service.transcripts.transcript import Transcript
from whisper_service.whisper.chunking import plan

USERS = 5
# Three or four chunks.
SHORTEST, LONGEST = 11.0, 15.0
# How long a process that was killed stays away, and one that was stopped stands still.
LEAST_AWAY, MOST_AWAY = 0.5, 1.5
STANDSTILLS = (3.0, 15.0)


class Attack:
    """Does harm to a cluster, and has what it kills started again."""

    def __init__(self, cluster: Cluster, random: Random) -> None:
        self._cluster, self._random = cluster, random
        self._later: list[Future[None]] = []

    def run(self, harms: Sequence[str], seconds: float, users: Sequence[Future[None]]) -> None:
        """Do all harms within some seconds, in random order, while `users` go on."""
        order = self._random.sample(harms, len(harms))
        moments = sorted(self._random.uniform(0, seconds) for _ in order)
        begun, never = time.monotonic(), Future[None]()
        with ThreadPoolExecutor(32) as self._pool:
            for moment, harm in zip(moments, order, strict=True):
                left = max(0.0, begun + moment - time.monotonic())
                for each in wait([never, *users, *self._later], left, FIRST_EXCEPTION).done:
                    each.result()
                self._cluster.check()
                self._harms[harm]()
        for each in self._later:
            each.result()
        self._cluster.check()

    @property
    def _harms(self) -> dict[str, Callable[[], object]]:
        return {"kill": self._kill, "stop": self._stop, "cut": self._cluster.line.cut}

    def _kill(self) -> None:
        victims: dict[str, list[Callable[[], None]]] = {}
        until(lambda: victims.update(self._victims()) or victims)
        self._random.choice(victims[self._random.choice(sorted(victims))])()

    def _victims(self) -> dict[str, list[Callable[[], None]]]:
        """Return what kills each of those that are there, by kind."""
        cluster = self._cluster
        victims: dict[str, list[Callable[[], None]]] = {
            "worker": [partial(self._kill_part, part) for part in _up(cluster.workers)],
            "scheduler": [partial(self._kill_part, part) for part in _up([cluster.scheduler])],
            "service": [partial(self._kill_part, part) for part in _up([cluster.service])],
            "engine": [
                partial(_kill_engine, pid) for part in cluster.parts for pid in part.engines()
            ],
        }
        return {kind: them for kind, them in victims.items() if them}

    def _kill_part(self, part: Part) -> None:
        part.kill()
        away = self._random.uniform(LEAST_AWAY, MOST_AWAY)
        self._later.append(self._pool.submit(part.revive, away))

    def _stop(self) -> None:
        members = [self._cluster.scheduler, *self._cluster.workers]
        until(lambda: _moving(members))
        part = self._random.choice(_moving(members))
        process, seconds = part.stand_still(), self._random.choice(STANDSTILLS)
        self._later.append(self._pool.submit(part.go_on, process, seconds))


def _up(parts: Sequence[Part]) -> list[Part]:
    return [part for part in parts if part.is_up]


def _moving(parts: Sequence[Part]) -> list[Part]:
    return [part for part in _up(parts) if not part.is_still]


def _kill_engine(pid: int) -> None:
    with suppress(ProcessLookupError):  # it ended just now
        kill(pid, signal.SIGKILL)


@contextmanager
def users_of(site: Site, jobs: int, promises: Promises) -> Iterator[list[Future[None]]]:
    """Have users upload recordings and order so many transcriptions in all."""
    with ExitStack() as stack:
        clients = [Client(site, f"user-{number}") for number in range(USERS)]
        for client in clients:
            stack.callback(client.close)
        pool = stack.enter_context(ThreadPoolExecutor(USERS))
        stack.callback(site.over.set)
        yield [
            pool.submit(_order, client, seeded(1 + number), jobs // USERS, promises)
            for number, client in enumerate(clients)
        ]


def _order(client: Client, random: Random, jobs: int, promises: Promises) -> None:
    for _ in range(jobs):
        recording = sound(random, random.uniform(SHORTEST, LONGEST))
        file = client.upload(recording)
        promises.sounds[file] = recording
        promises.orders += client.order(file)


def use_all_workers(cluster: Cluster, promises: Promises) -> None:
    """Check that each worker still does tasks: those of a guest, for which it needs an engine."""
    for pid in (pid for part in cluster.workers for pid in part.engines()):
        _kill_engine(pid)
    until(lambda: not any(part.engines() for part in cluster.workers))
    client = Client(cluster.site, "guest")
    _order(client, seeded(), 4 * len(cluster.workers), promises)
    until(lambda: all(part.engines() for part in cluster.workers))
    client.close()


def audit(folder: Path, promises: Promises) -> None:
    """Check that each order was done once, with the right words, and paid once."""
    storage = Storage(folder)
    db.open_database(storage.database)
    try:
        assert list(check.find_problems(storage)) == []  # among them wrong balances
    finally:
        db.database.close()
    audit_jobs(folder, promises)
    _audit_transcripts(folder, promises)
    _audit_money(folder)


def _audit_transcripts(folder: Path, promises: Promises) -> None:
    """Each recording has one transcript, in which each of its chunks is once."""
    made = rows(folder, "SELECT file_uuid, data FROM transcript ORDER BY file_uuid")
    assert [file for file, _ in made] == sorted(promises.sounds)
    for file, data in made:
        segments = Transcript.from_json(data).segments
        assert [segment.text.strip() for segment in segments] == _words(promises.sounds[file])


def _words(recording: bytes) -> list[str]:
    """Return what the fake engine has to say for each chunk of a recording."""
    samples = len(recording) // 2
    chunks = plan([1.0] * -(-samples // FRAME_SAMPLES), samples, CHUNK_SECONDS)
    assert len(chunks) > 1
    return [
        words_of(b"".join(recording[2 * start : 2 * stop] for start, stop in chunk.spans))
        for chunk in chunks
    ]


def _audit_money(folder: Path) -> None:
    """A token is a second, begun or whole."""
    spent = dict(
        rows(
            folder,
            "SELECT user_id, sum((samples + 15999) / 16000) FROM transcription GROUP BY user_id",
        )
    )
    balances = rows(folder, "SELECT id, token_balance FROM user")
    assert balances == [(user, TOKENS - spent[user]) for user, _ in balances]


def ran_again(log: Path) -> int:
    """Return how many tasks were given to another engine, by what the service logged."""
    warnings = [line for line in log.read_text().splitlines() if "level=warning" in line]
    return sum('message="Job ' in line and "cluster" in line for line in warnings)
