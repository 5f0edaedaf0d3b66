"""A disk that is full at an upload, at a conversion, at a result, and in the database's log."""

import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.commands import run
from tests.support.database import rows
from tests.support.disk import MIB, as_mounter, deleted_bytes, fill, small_disk
from tests.support.ffmpeg import run_ffmpeg
from tests.support.harness import Figure, assert_caught, canary, scale, seeded
from tests.support.recordings import as_wav, sound
from tests.support.site import MODEL, TOKENS, Client, Site
from tests.support.waiting import until

DISK, RESERVE = 64 * MIB, 8 * MIB
ROUNDS = scale(10, 1)
ENGINE_SECONDS = 0.5
# Its WAV has 11.5 MB, more than the reserve and what the attack leaves beside it.
LONG_SECONDS, LEFT = 360, 2 * MIB


@pytest.fixture(autouse=True)
def _mounter(request: pytest.FixtureRequest) -> None:
    as_mounter(request)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("long") / "silence.flac"
    run_ffmpeg("-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", LONG_SECONDS, path)
    return path.read_bytes()


class Attack:
    """A user of a service on a small disk, and what it has said yes to."""

    def __init__(self, site: Site, disk: Path, long: bytes) -> None:
        self.site, self.disk, self.long = site, disk, long
        self.random = seeded()
        self.client = Client(site, "customer")
        self.files: set[str] = set()
        self.orders: list[str] = []
        self.statuses: list[int] = []

    def tell(self, method: str, path: str, **more: Any) -> requests.Response:
        """Ask for something that may be refused for want of room, but for nothing else."""
        response = self.client._http.request(method, self.site.url() + path, timeout=60, **more)
        self.statuses.append(response.status_code)
        assert response.status_code in {200, 507}, (method, path, response.text)
        return response

    def upload(self, recording: bytes, name: str = "sound.wav") -> bool:
        response = self.tell("POST", "/file", files={"file": (name, recording)})
        if response.ok:
            self.files.add(response.json()["files"][0]["uuid"])
        return response.ok

    def order(self, file: str) -> str | None:
        response = self.tell("POST", "/transcribe", json={"uuid": file, "model": MODEL})
        if not response.ok:
            return None
        self.orders.append(str(response.json()["transcriptions"][0]["uuid"]))
        return self.orders[-1]

    @contextmanager
    def full(self, leave: int = 0) -> Iterator[None]:
        """Fill the disk up to so many bytes, once all that was deleted has left it."""
        with closing(sqlite3.connect(self.site.storage / "service.db")) as database:
            until(lambda: database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0)
        until(lambda: deleted_bytes(self.disk) == 0)
        ballast = fill(self.disk, leave)
        try:
            yield
        finally:
            ballast.unlink()

    def read_all(self) -> None:
        """Ask for all that can be read: a full disk is no reason to refuse it."""
        for path in ("/health", "/user", "/file", *map("/file/{}".format, self.files)):
            assert self.tell("GET", path).ok, path
        for order in self.orders:
            assert self.tell("GET", f"/transcribe/{order}").ok

    def at_upload(self) -> None:
        before = set(self.files)
        recordings = [as_wav(sound(self.random, 60)) for _ in range(4)]
        with self.full(RESERVE // 2):
            assert not self.upload(recordings[0])
            chunks = (recordings[0][at : at + MIB // 4] for at in range(0, MIB, MIB // 4))
            form = {"Content-Type": "multipart/form-data; boundary=x"}
            assert not self.tell("POST", "/file", data=chunks, headers=form).ok
            self.read_all()
        # Each has room when it begins, all together have not.
        with self.full(RESERVE + 5 * MIB), ThreadPoolExecutor(4) as pool:
            list(pool.map(self.upload, recordings))
        assert self.upload(recordings[0])
        self.until_converted()
        self.delete_all_but(before)

    def at_conversion(self) -> None:
        """Leave no room for a recording's WAV, twice, and then no room at all."""
        before, tried = set(self.files), set[str]()
        temporary = self.site.storage / "tmp"

        def tries(number: int) -> bool:
            tried.update(path.stem for path in temporary.iterdir())
            assert not self.failed_files()
            return len(tried) >= number

        with self.full(RESERVE + LEFT):
            assert self.upload(self.long, "long.flac")
            tried.clear()
            until(lambda: tries(2))
            self.read_all()
            until(lambda: tries(3))
            fill(self.disk)
            until(lambda: not list(temporary.iterdir()))
            assert not self.failed_files()
        self.until_converted()
        self.delete_all_but(before)

    def at_result(self) -> None:
        """Have an engine finish when nothing can be written."""
        assert self.upload(as_wav(sound(self.random, 1)))
        order = self.order(max(self.files))
        assert order
        self.client.wait(order, "processing")
        with self.full():
            answered = time.monotonic() + 2 * ENGINE_SECONDS
            while time.monotonic() < answered:
                assert self.status(order) == "processing"
                self.read_all()
        until(lambda: self.status(order) == "completed")

    def in_the_log(self) -> None:
        """Ask for everything that writes, when nothing can be written."""
        file = max(self.files)
        account = self.client.account
        with self.full():
            self.tell("PATCH", f"/file/{file}", json={"filename": "another.wav"})
            self.tell("POST", "/user/login", json=account)
            self.tell("POST", "/user/register", json={**account, "username": "too-late"})
            self.tell("POST", "/user/token", json={"name": "key"})
            self.order(file)
            assert 507 in self.statuses[-5:]
            self.read_all()
        assert self.tell("PATCH", f"/file/{file}", json={"filename": "another.wav"}).ok
        assert self.order(file)

    def delete_all_but(self, kept: set[str]) -> None:
        for uuid in self.files - kept:
            assert self.tell("DELETE", f"/file/{uuid}").ok
        self.files = kept

    def until_converted(self) -> None:
        def is_done() -> bool:
            assert not self.failed_files()
            return not rows(self.site.storage, "SELECT 1 FROM file WHERE status = 'converting'")

        until(is_done)

    def failed_files(self) -> list[tuple[Any, ...]]:
        return rows(self.site.storage, "SELECT error FROM file WHERE status = 'failed'")

    def status(self, order: str) -> str:
        return str(self.tell("GET", f"/transcribe/{order}").json()["status"])

    def settle(self) -> None:
        """See that all that was promised is there, paid once, and nothing else was paid."""
        until(lambda: all(self.status(order) == "completed" for order in self.orders))
        query = "SELECT count(*), coalesce(sum((samples + 15999) / 16000), 0) FROM transcription"
        ((count, price),) = rows(self.site.storage, query)
        assert count == len(self.orders)
        assert rows(self.site.storage, "SELECT token_balance FROM user") == [(TOKENS - price,)]
        assert rows(self.site.storage, "SELECT count(*) FROM file") == [(len(self.files),)]
        assert not list((self.site.storage / "tmp").iterdir())
        done = run("check", WHISPER_SERVICE_STORAGE_PATH=str(self.site.storage))
        assert done.stdout == "No problems found.\n", done.stdout


def attack(folder: Path, long: bytes, *stages: str, broken: str = "") -> Attack:
    environ = {"WHISPER_SERVICE_STORAGE_RESERVE_BYTES": str(RESERVE)}
    folder.mkdir()
    with (
        small_disk(folder / "disk", DISK) as disk,
        Site(disk / "site", broken=broken, seconds=ENGINE_SECONDS, **environ) as site,
    ):
        pid = site.pid
        attacked = Attack(site, disk, long)
        assert attacked.upload(as_wav(sound(attacked.random, 1)))
        for _ in range(ROUNDS):
            for stage in stages:
                getattr(attacked, stage)()
        attacked.settle()
        assert site.pid == pid
        assert site.stop() == 0
    return attacked


def test_a_full_disk_costs_nobody_anything(tmp_path: Path, long: bytes, figure: Figure) -> None:
    stages = ("at_upload", "at_conversion", "at_result", "in_the_log")
    attacked = attack(tmp_path / "x", long, *stages)
    refused = attacked.statuses.count(507)
    assert refused >= 3 * ROUNDS
    figure(
        "disk full at upload, conversion, result, WAL",
        "no 500, no charge, recovers by itself",
        f"{ROUNDS} times each: {refused} of {len(attacked.statuses)} answers were 507, none 500",
    )


@canary
@pytest.mark.parametrize(
    ("stage", "broken"),
    [("at_conversion", "full disk fails files"), ("in_the_log", "full disk is an accident")],
)
def test_the_attack_detects_wrong_blame(
    tmp_path: Path, long: bytes, stage: str, broken: str
) -> None:
    assert_caught(lambda: attack(tmp_path / "x", long, stage, broken=broken))
