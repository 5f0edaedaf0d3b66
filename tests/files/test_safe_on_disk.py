"""The order in which an upload comes to disk, and what is left of one when there is no room."""

import errno
import io
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from peewee import OperationalError

from tests.support.paths import DATA
from tests.support.service import Api, Service
from whisper_service import db
from whisper_service.db import database
from whisper_service.files.storage import IncomingFile, Storage
from whisper_service.tables import File

RECORDING = DATA / "austen-0880.wav"


class Disk:
    """Writes down each call that changes the disk; the one numbered `fails` finds no room."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.fails = 0
        self._patch = monkeypatch
        self._watch(os, "fsync", lambda descriptor: f"fsync {kind(f'/proc/self/fd/{descriptor}')}")
        self._watch(Path, "replace", lambda *_: "rename")
        self._watch(Path, "mkdir", lambda *_, **__: "mkdir")
        disk, opened = self, Path.open

        class Watched(io.FileIO):
            def write(self, data: Any) -> int:
                disk.call("write")
                return super().write(data)

        def watched(path: Path, mode: str = "r", **more: Any) -> Any:
            if mode != "xb":
                return opened(path, mode, **more)
            return io.BufferedWriter(Watched(path, "x"), 65_536)

        monkeypatch.setattr(Path, "open", watched)

    def call(self, name: str) -> None:
        self.calls.append(name)
        if len(self.calls) == self.fails:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _watch(self, owner: Any, name: str, say: Callable[..., str]) -> None:
        real = getattr(owner, name)

        def watched(*arguments: Any, **more: Any) -> Any:
            self.call(say(*arguments, **more))
            return real(*arguments, **more)

        self._patch.setattr(owner, name, watched)


def kind(path: str) -> str:
    return "folder" if os.path.isdir(path) else "file"  # noqa: PTH112 - that of Path is watched


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register()


@pytest.fixture
def disk(ann: Api, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def upload_in_order(ann: Api, disk: Disk) -> None:
    """Upload, and check that each step is safe on disk before the next one relies on it."""

    def statement(words: str) -> None:
        if words == "COMMIT":
            disk.call("commit")

    connection: Any = database.connection()  # type: ignore[no-untyped-call]
    connection.set_trace_callback(statement)
    ann.upload(RECORDING)
    connection.set_trace_callback(None)
    steps = [call for call in disk.calls if call != "mkdir"]
    first, last = steps.index("fsync file"), steps.index("rename")
    assert set(steps[:first]) == {"write"}
    assert set(steps[first:last]) == {"fsync file"}
    assert steps[last:] == ["rename", "fsync folder", "fsync folder", "commit"]


def test_the_bytes_are_safe_before_their_name_and_that_before_the_row(ann: Api, disk: Disk) -> None:
    upload_in_order(ann, disk)


def place_at_once(_: Storage, source: Path, target: Path) -> None:
    target.parent.mkdir()
    source.replace(target)


def close_at_once(file: IncomingFile) -> None:
    file._file.close()


@pytest.mark.torture
@pytest.mark.parametrize(
    ("owner", "name", "careless"),
    [(Storage, "place", place_at_once), (IncomingFile, "close", close_at_once)],
)
def test_the_test_detects_an_upload_that_skips_a_step(
    ann: Api,
    disk: Disk,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    name: str,
    careless: Callable[..., None],
) -> None:
    monkeypatch.setattr(owner, name, careless)
    if owner is IncomingFile:  # `place` makes up for it
        monkeypatch.setattr(Storage, "place", place_at_once)
    with pytest.raises((AssertionError, ValueError)):
        upload_in_order(ann, disk)


def contents(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.name.startswith("service.db")}


def fill_at_each_step(service: Service, ann: Api, disk: Disk) -> int:
    """Fill the disk at an upload's first step, its second, and so on; return how many there are."""
    before = contents(service.storage.root)
    body = {"file": (io.BytesIO(RECORDING.read_bytes()), "talk.wav")}
    for number in range(1, 100):
        disk.calls.clear()
        disk.fails = number
        body["file"] = (io.BytesIO(RECORDING.read_bytes()), "talk.wav")
        if len(_refused(ann, body, disk)) < number:
            return number - 1
        assert not File.select().exists()
        assert contents(service.storage.root) == before
    raise AssertionError("an upload has no end")


def _refused(ann: Api, body: Any, disk: Disk) -> list[str]:
    """Upload; return the steps that were taken. It is refused if one of them found no room."""
    response = ann.client.post(
        "/api/v1/file", data=body, headers={"Authorization": str(ann.authorization)}
    )
    assert response.status_code == (507 if len(disk.calls) >= disk.fails else 200), response.text
    return disk.calls


def test_an_upload_without_room_leaves_nothing(service: Service, ann: Api, disk: Disk) -> None:
    assert fill_at_each_step(service, ann, disk) >= 6
    assert File.get().status == "converting"


@pytest.mark.torture
def test_the_test_detects_an_upload_that_leaves_a_file(
    service: Service, ann: Api, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(IncomingFile, "discard", lambda file: file._file.close())
    with pytest.raises((AssertionError, OSError)):
        fill_at_each_step(service, ann, disk)


def test_a_full_disk_is_distinguished_from_a_broken_one() -> None:
    assert db.is_full(OSError(errno.EDQUOT, "x"))
    assert not db.is_full(OSError(errno.EIO, "x"))


def test_a_full_database_is_distinguished_from_other_failures(ann: Api) -> None:
    (pages,) = database.execute_sql("PRAGMA page_count").fetchone()
    database.execute_sql(f"PRAGMA max_page_count = {pages}").fetchone()
    for execute, full in ((database.execute_sql, OperationalError), (raw, sqlite3.Error)):
        with pytest.raises(full) as caught:
            execute("CREATE TABLE another (x)")
        assert db.is_full(caught.value)
        with pytest.raises(full, match="full") as caught:
            execute("SELECT * FROM full_names")
        assert not db.is_full(caught.value)
    assert not db.is_full(OperationalError("the moon is full"))
    assert not db.is_full(OperationalError())


def raw(statement: str) -> None:
    connection: Any = database.connection()  # type: ignore[no-untyped-call]
    connection.execute(statement)
