"""Uploads, deletions and conversions of the same recording that meet each other."""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.interleaving import after
from tests.support.paths import DATA
from tests.support.service import Api, Service
from whisper_service.commands import check
from whisper_service.errors import NotFound
from whisper_service.files import ffmpeg, media, transcoding, uploads
from whisper_service.files.storage import Storage
from whisper_service.tables import File

ROUNDS = 12
JFK, SHORT = DATA / "jfk.wav", DATA / "austen-0880.wav"


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register("ann")


def folders(service: Service) -> set[str]:
    return {path.name for path in (service.storage.root / "files").iterdir()}


def leftovers(service: Service) -> list[Path]:
    return list(service.storage.temporary_folder.iterdir())


def fail_once(service: Service, ann: Api) -> str:
    """Upload a file, and have its conversion fail."""
    uuid: str = ann.upload(JFK)[0]["uuid"]
    service.storage.original(uuid).write_bytes(b"damaged since")
    service.work()
    assert File.get().status == "failed"
    return uuid


STEPS = {
    "extracted": (transcoding, "extract", "extract_once"),
    "speech placed": (Storage, "place", "extract_once"),
    "encoded": (transcoding, "encode", "encode_once"),
    "copy placed": (Storage, "place", "encode_once"),
    "probed": (media, "probe", "extract_once"),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_conversion_never_ends_on_a_file_that_came_meanwhile(
    service: Service, ann: Api, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    owner, name, work = STEPS[step]
    bob = service.register("bob")
    (first,) = ann.upload(JFK)
    if work == "encode_once":
        service.worker.extract_once()

    def replace_file() -> None:
        ann.call("DELETE", f"/file/{first['uuid']}")
        bob.upload(SHORT)

    after(monkeypatch, owner, name, replace_file)
    assert getattr(service.worker, work)()
    row = File.get()
    assert (row.status, row.samples, row.error) == ("converting", None, None)
    assert folders(service) == {row.uuid}
    assert leftovers(service) == []
    service.work()
    assert File.get().status == "ready"
    assert list(check.find_problems(service.storage)) == []


@pytest.mark.parametrize("where", ["before the probe", "between probe and extraction"])
def test_a_deletion_is_no_failure_of_the_conversion(
    service: Service,
    ann: Api,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    where: str,
) -> None:
    uuid = ann.upload(JFK)[0]["uuid"]
    owner, name = (Storage, "temporary") if where == "before the probe" else (media, "probe")
    after(monkeypatch, owner, name, lambda: ann.call("DELETE", f"/file/{uuid}"))
    with caplog.at_level(logging.INFO):
        assert service.worker.extract_once()
    messages = [r.getMessage() for r in caplog.records if r.name.endswith("conversions")]
    assert messages == [f"Conversion of file {uuid} was cancelled"]
    assert not folders(service)
    assert not leftovers(service)


def test_a_failure_of_a_deleted_file_leaves_nothing(
    service: Service, ann: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuid = ann.upload(JFK)[0]["uuid"]

    def fail(*_: Any) -> None:
        ann.call("DELETE", f"/file/{uuid}")
        raise ffmpeg.MediaError("The recording could not be decoded")

    monkeypatch.setattr(transcoding, "extract", fail)
    assert service.worker.extract_once()
    assert not File.select().exists()
    assert not folders(service)


def test_a_failed_file_that_is_deleted_while_it_comes_again_is_a_new_one(
    service: Service, ann: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = fail_once(service, ann)
    after(monkeypatch, uploads, "_probe", lambda: ann.call("DELETE", f"/file/{old}"))
    (again,) = ann.upload(JFK)
    assert again["status"] == {"existed": False, "uploaded": True}
    assert again["uuid"] != old
    assert folders(service) == {again["uuid"]}
    assert service.storage.original(again["uuid"]).read_bytes() == JFK.read_bytes()
    service.work()
    assert File.get(File.uuid == again["uuid"]).status == "ready"


def at_once(service: Service, ann: Api, path: Path, number: int) -> list[dict[str, Any]]:
    """Upload the same file several times, by a thread each."""
    answers: list[dict[str, Any]] = []

    def upload() -> None:
        client = service.client.application.test_client()
        answers.extend(replace(ann, client=client).upload(path))

    run([upload] * number)
    return answers


def run(actions: list[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=action) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("failed", [False, True])
def test_of_the_same_bytes_at_once_one_is_the_upload(
    service: Service, ann: Api, monkeypatch: pytest.MonkeyPatch, *, failed: bool
) -> None:
    old = fail_once(service, ann) if failed else None
    together, probe = threading.Barrier(3, timeout=30), uploads._probe

    def all_probed(*arguments: Any) -> media.Media:
        kind = probe(*arguments)
        together.wait()
        return kind

    monkeypatch.setattr(uploads, "_probe", all_probed)
    answers = at_once(service, ann, JFK, 3)
    assert sorted(answer["status"]["existed"] for answer in answers) == [False, True, True]
    (row,) = File.select()
    assert {answer["uuid"] for answer in answers} == {row.uuid}
    assert old in {None, row.uuid}
    assert row.status == "converting"
    assert service.storage.original(row.uuid).read_bytes() == JFK.read_bytes()
    assert folders(service) == {row.uuid}
    assert leftovers(service) == []


def test_what_comes_while_it_is_deleted_stays(
    service: Service, ann: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = ann.upload(JFK)[0]["uuid"]
    delete, again = Storage.delete, []

    def later(storage: Storage, uuid: str) -> None:
        monkeypatch.setattr(Storage, "delete", delete)
        again.extend(ann.upload(JFK))
        delete(storage, uuid)

    monkeypatch.setattr(Storage, "delete", later)
    ann.call("DELETE", f"/file/{old}")
    assert again[0]["status"] == {"existed": False, "uploaded": True}
    assert folders(service) == {again[0]["uuid"]}
    assert list(check.find_problems(service.storage)) == []


def test_a_crowd_of_all_this_leaves_a_sound_storage(service: Service, ann: Api) -> None:
    """Every file that is there has its row and its bytes, whatever met."""
    answers: list[dict[str, Any]] = []
    headers = {"Authorization": str(ann.authorization)}

    def repeated(step: Callable[[FlaskClient], object]) -> Callable[[], object]:
        client = service.client.application.test_client()
        return lambda: [step(client) for _ in range(ROUNDS)]

    def delete(client: FlaskClient) -> None:
        for row in File.select():
            response = client.delete(f"/api/v1/file/{row.uuid}", headers=headers)
            assert response.status_code in {200, NotFound.status}

    def upload(client: FlaskClient) -> None:
        answers.extend(replace(ann, client=client).upload(SHORT))

    worker = service.worker
    conversions = [worker.extract_once, worker.extract_short_once, worker.encode_once]
    steps = [upload, upload, delete, delete, *(lambda _, step=step: step() for step in conversions)]
    run(list(map(repeated, steps)))
    service.work()
    assert list(check.find_problems(service.storage)) == []
    assert folders(service) == {row.uuid for row in File.select()}
    assert {row.status for row in File.select()} <= {"ready"}
    assert leftovers(service) == []
    assert len(answers) == 2 * ROUNDS
