"""kill -9 at random moments, while recordings are uploaded and transcribed and people log in."""

import signal
import time
import wave
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from os import kill
from pathlib import Path
from random import Random
from typing import Any

import pytest
from blake3 import blake3

from tests.support.audit import audit_jobs
from tests.support.database import rows
from tests.support.harness import FULL, Figure, canary, scale, seeded
from tests.support.processes import processes_of
from tests.support.recordings import RATE, as_wav, sound
from tests.support.site import SECONDS, TOKENS, Client, Promises, Site, drain
from tests.support.waiting import until
from whisper_service import db
from whisper_service.commands import check
from whisper_service.files.storage import Storage

CUSTOMERS = scale(5, 3)
LONGEST_LIFE = 2.0 if FULL else 1.2
LONGEST_START = 1.0
GONE_SECONDS = 3
# Three chunks a job, each of which takes a moment, and less time between kills than a job takes.
JOB_SECONDS, CHUNK_SECONDS, LONGEST_WORK = 30, 0.2, 1.0


def live(client: Client, random: Random, promises: Promises) -> None:
    """Upload, order and log in until the attack is over."""
    while not client.site.over.is_set():
        recording = sound(random, random.choice((0.3, 1.1, 2.2)))
        uuid = client.upload(recording)
        promises.sounds[uuid] = recording
        ordered = client.order(uuid, format=random.sample(["srt", "vtt", "verbose_json"], 2))
        promises.orders += ordered
        promises.sessions.append(client.enter())
        client.wait(ordered[-1])


@contextmanager
def living(clients: list[Client], promises: Promises) -> Iterator[list[Future[None]]]:
    site = clients[0].site
    with ThreadPoolExecutor(len(clients)) as pool:
        try:
            yield [
                pool.submit(live, client, seeded(number), promises)
                for number, client in enumerate(clients)
            ]
        finally:
            site.over.set()


def attack(folder: Path, kills: int, *, broken: str = "", seconds: float = 0.05) -> Promises:
    random = seeded()
    promises = Promises()
    with Site(folder, broken=broken, seconds=seconds) as site:
        clients = [Client(site, f"customer-{number}") for number in range(CUSTOMERS)]
        with living(clients, promises) as lives:
            for number in range(kills):
                moment = random.uniform(0, LONGEST_LIFE)
                ended = wait(lives, moment, return_when=FIRST_EXCEPTION).done
                assert not ended, [life.exception() for life in ended]
                site.kill()
                assert_nobody_is_left(site.storage)
                if number % 4 == 2:
                    site.start_in_vain(random.uniform(0, LONGEST_START))
                site.start()
            site.over.set()
            for life in lives:
                life.result(SECONDS)
        assert_sessions_hold(clients[0], promises)
        drain(site.storage)
        for client in clients:
            client.close()
        assert site.stop() == 0
        assert_nobody_is_left(site.storage)
    audit(site.storage, promises)
    return promises


def assert_nobody_is_left(storage: Path) -> None:
    try:
        until(lambda: not processes_of(storage), GONE_SECONDS)
    finally:
        for pid in processes_of(storage):
            with suppress(ProcessLookupError):
                kill(pid, signal.SIGKILL)


def assert_sessions_hold(client: Client, promises: Promises) -> None:
    for session in promises.sessions:
        client.ask("GET", "/user", headers={"Authorization": f"Basic {session}"})


def audit(folder: Path, promises: Promises) -> None:
    storage = Storage(folder)
    db.open_database(storage.database)
    try:
        assert list(check.find_problems(storage)) == []
    finally:
        db.database.close()
    audit_files(storage, promises)
    audit_jobs(folder, promises)
    audit_money(folder)


def audit_files(storage: Storage, promises: Promises) -> None:
    """No upload is lost or altered, and nothing lies around that no row knows."""
    kept = {
        uuid: (digest, status)
        for uuid, digest, status in rows(storage.root, "SELECT uuid, hash, status FROM file")
    }
    for uuid, recording in promises.sounds.items():
        assert kept[uuid] == (blake3(as_wav(recording)).hexdigest(), "ready")
        with wave.open(str(storage.speech(uuid))) as speech:
            assert speech.readframes(RATE * 60) == recording
    there = {
        folder.name: {path.name for path in folder.iterdir()} - {"probabilities"}
        for folder in (storage.root / "files").iterdir()
    }
    assert there == {uuid: {"converted", "speech.wav"} for uuid in kept}
    assert list(storage.temporary_folder.iterdir()) == []


def audit_money(storage: Path) -> None:
    spent = dict(
        rows(
            storage,
            "SELECT user_id, sum((samples + 15999) / 16000) FROM transcription "
            "WHERE status = 'completed' GROUP BY user_id",
        )
    )
    balances = rows(storage, "SELECT id, token_balance FROM user")
    assert balances == [(user, TOKENS - spent.get(user, 0)) for user, _ in balances]
    of_nothing = (
        "SELECT 1 FROM ledger WHERE kind != 'grant' "
        "AND subject NOT IN (SELECT uuid FROM transcription)"
    )
    assert rows(storage, of_nothing) == []


def test_killed_at_random_moments(tmp_path: Path, figure: Figure) -> None:
    kills = scale(100, 4)
    promises = attack(tmp_path, kills)
    figure(
        f"kill -9, {kills} times, and {kills // 4} in the midst of a start",
        "0 uploads, jobs or logins lost, 0 charged twice, 0 orphans",
        f"0 of {len(promises.sounds)} uploads, {len(promises.orders)} jobs, "
        f"{len(promises.sessions)} logins",
    )
    assert promises.orders


def attack_a_queue(folder: Path, jobs: int, kills: int) -> tuple[Promises, float]:
    """Kill the service again and again, as soon as it has begun to work off a queue.

    Returns what was promised, and the seconds from the first kill to the last.
    """
    promises, random = Promises(), seeded()
    with Site(folder, seconds=CHUNK_SECONDS) as site:
        client = Client(site, "ann")
        for _ in range(jobs):
            recording = sound(random, JOB_SECONDS)
            uuid = client.upload(recording)
            promises.sounds[uuid] = recording
            promises.orders += client.order(uuid)
        begun = time.monotonic()
        for _ in range(kills):
            site.kill()
            site.start()
            time.sleep(random.uniform(0, LONGEST_WORK))
        seconds = time.monotonic() - begun
        drain(site.storage)
        client.close()
        assert site.stop() == 0
    audit(site.storage, promises)
    return promises, seconds


def test_a_queue_outlives_many_kills_at_short_intervals(tmp_path: Path, figure: Figure) -> None:
    jobs, kills = scale(40, 6), scale(50, 6)
    promises, seconds = attack_a_queue(tmp_path, jobs, kills)
    figure(
        f"kill -9, {kills} times in {seconds:.0f} s, on a queue of {jobs} jobs",
        "all completed, none failed, ledger exact",
        f"{len(promises.orders)} completed and paid once",
    )


@canary
@pytest.mark.parametrize(
    "broken",
    ["charge apart from claim", "upload placed later", "nothing swept"],
)
def test_the_attack_detects(tmp_path: Path, broken: str) -> None:
    attack_until_caught(tmp_path, broken=broken)


@canary
def test_the_attack_detects_children_that_outlive_the_service(tmp_path: Path) -> None:
    attack_until_caught(tmp_path, broken="children left alone", seconds=60)


def attack_until_caught(folder: Path, **how: Any) -> None:
    """Attack harder each time, for a single kill may miss the moment that shows a fault."""
    with pytest.raises(AssertionError):
        for kills in (2, 4, 8):
            attack(folder / str(kills), kills, **how)
