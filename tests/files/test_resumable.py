"""Resumable uploads as they become files, whatever happens meanwhile, and their limits."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from tests.support.interleaving import after
from tests.support.paths import DATA
from tests.support.service import PASSWORD, Api, Service
from tests.support.tus import (
    CLIP,
    RESUMABLE,
    SIZE,
    append,
    bytes_of,
    create,
    creation,
    look,
    piece,
    refused,
)
from whisper_service.files import ffmpeg, resumable, uploads
from whisper_service.files.storage import Storage
from whisper_service.tables import File, Upload


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register("ann")


@pytest.fixture
def uuid(ann: Api) -> str:
    return create(ann, SIZE)


REJECTED = {
    b"x" * 1000: ("unsupported_content_type", "Unsupported content type"),
    b"RIFF\0\0\0\0WAVEfmt ": ("unsupported_content_type", "Unsupported content type"),
}


@pytest.mark.parametrize("content", REJECTED, ids=["junk", "cut"])
def test_a_rejection_is_remembered(service: Service, ann: Api, content: bytes) -> None:
    code, sentence = REJECTED[content]
    uuid = create(ann, len(content))
    assert refused(ann, uuid, 400, content) == sentence
    assert bytes_of(service) == {}
    assert refused(ann, uuid, 400, b"", Upload_Offset=str(len(content))) == sentence
    look(ann, uuid, 400)
    shown = ann.get(f"/upload/{uuid}")
    assert shown["offset"] == len(content)
    assert shown["file"] == {
        "message": sentence,
        "filename": "a.wav",
        "status": {"existed": False, "uploaded": False, "error": code},
    }
    assert ann.send(("a.wav", content)) == [shown["file"]]


@pytest.mark.parametrize("method", ["HEAD", "GET", "PATCH"])
def test_what_is_complete_is_stored_when_it_is_asked_for(
    service: Service, ann: Api, uuid: str, method: str
) -> None:
    """The service was killed between the last byte and storing it."""
    service.storage.uploads.path(uuid).write_bytes(CLIP)
    expect = 204 if method == "PATCH" else 200
    answer = ann.call(method, f"/upload/{uuid}", expect, headers=piece(SIZE))
    (file,) = File.select()
    shown = answer.json["file"]["uuid"] if method == "GET" else answer.headers["File-UUID"]
    assert shown == file.uuid
    assert service.storage.original(shown).read_bytes() == CLIP
    assert bytes_of(service) == {}


def test_a_killed_service_loses_nothing_while_it_stores(
    service: Service, ann: Api, uuid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither before the file is recorded, nor after it but before the upload's end is."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    service.storage.uploads.path(uuid).write_bytes(CLIP)
    for owner, name in ((uploads, "_create"), (resumable, "_record")):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(owner, name, die)
            look(ann, uuid)
        assert bytes_of(service) == {uuid: CLIP}
    (file,) = File.select()
    assert look(ann, uuid).headers["File-UUID"] == file.uuid
    assert File.select().count() == 1


def test_two_that_finish_at_once_store_one_file(
    service: Service, ann: Api, uuid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.storage.uploads.path(uuid).write_bytes(CLIP)
    together, probe = threading.Barrier(2, timeout=30), uploads._probe

    def both_probed(*arguments: Any) -> Any:
        together.wait()
        return probe(*arguments)

    monkeypatch.setattr(uploads, "_probe", both_probed)
    app = service.client.application

    def finish(method: str) -> str:
        api = replace(ann, client=app.test_client())
        headers = piece(SIZE)
        return api.call(
            method, f"/upload/{uuid}", headers=headers, expect=EXPECTED[method]
        ).headers["File-UUID"]

    with ThreadPoolExecutor(2) as pool:
        found = set(pool.map(finish, EXPECTED))
    assert found == {file.uuid for file in File.select()}
    assert len(found) == 1
    assert bytes_of(service) == {}
    assert list(service.storage.temporary_folder.iterdir()) == []


EXPECTED = {"HEAD": 200, "PATCH": 204}


def test_no_lock_is_held_while_a_file_is_hashed(
    service: Service, ann: Api, uuid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    receive = Storage.receive_upload

    def meanwhile(storage: Storage, uuid: str) -> Any:
        seen.append(create(replace(ann, client=service.client.application.test_client()), 5))
        return receive(storage, uuid)

    monkeypatch.setattr(Storage, "receive_upload", meanwhile)
    append(ann, uuid, 0, CLIP)
    assert len(seen) == 1


@pytest.mark.parametrize(("step", "status"), [("find", 404), ("check", 423)])
def test_an_account_that_is_deleted_takes_its_uploads_along(
    service: Service,
    ann: Api,
    uuid: str,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    status: int,
) -> None:
    append(ann, uuid, 0, CLIP[:10])
    delete = lambda: ann.call("DELETE", "/user", json={"password": PASSWORD})  # noqa: E731
    after(monkeypatch, resumable, step, delete)
    refused(ann, uuid, status, CLIP[10:], Upload_Offset="10")
    assert Upload.select().count() == 0
    assert bytes_of(service) == {}


def test_an_account_that_is_deleted_while_its_file_is_probed_gets_none(
    service: Service, ann: Api, uuid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = lambda: ann.call("DELETE", "/user", json={"password": PASSWORD})  # noqa: E731
    after(monkeypatch, uploads, "_probe", delete)
    refused(ann, uuid, 401, CLIP)
    assert File.select().count() == 0
    assert bytes_of(service) == {}
    assert list((service.storage.root / "files").iterdir()) == []


def test_unfinished_uploads_are_limited(service: Service, ann: Api) -> None:
    most = service.settings.limits.uploads_per_user
    made = [create(ann, SIZE) for _ in range(most)]
    for _ in range(100 - most):
        answer = ann.call("POST", "/upload", 429, headers=creation(SIZE))
    assert answer.text == "You have 20 unfinished uploads of at most 20: finish or delete one"
    assert answer.headers["Retry-After"] == "60"
    create(service.register("bob"), SIZE)
    append(ann, made[0], 0, CLIP)
    create(ann, SIZE)
    ann.call("POST", "/upload", 429, headers=creation(SIZE))
    assert Upload.select().count() == most + 2


def test_creations_at_once_keep_the_limit(service: Service, ann: Api) -> None:
    app = service.client.application

    def attempt(_: int) -> int:
        headers = creation(SIZE) | {"Authorization": str(ann.authorization)}
        return app.test_client().post("/api/v1/upload", headers=headers).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(attempt, range(40)))
    assert statuses.count(201) == 20
    assert statuses.count(429) == 20


def test_few_ended_uploads_are_remembered(
    ann: Api, monkeypatch: pytest.MonkeyPatch, service: Service
) -> None:
    monkeypatch.setattr(resumable, "REMEMBERED", 2)
    ended = []
    for _ in range(4):
        ended.append(create(ann, 1))
        refused(ann, ended[-1], 400, b"x")
        time.sleep(0.002)  # their order is that of their ids, in milliseconds
    begun = create(ann, 1)
    assert {row.uuid for row in Upload.select()} == {*ended[-2:], begun}


def test_what_is_declared_counts_against_the_quota(service: Service, ann: Api) -> None:
    service.storage.quota_bytes = 2 * SIZE + SIZE // 2
    first = create(ann, SIZE)
    second = create(ann, SIZE)
    sentence = (
        "The recording and what is made of it exceed the storage quota of "
        f"{service.storage.quota_bytes} bytes"
    )
    assert ann.call("POST", "/upload", 400, headers=creation(SIZE)).text == sentence
    (rejected,) = ann.send(("a.wav", (DATA / "jfk.wav").read_bytes()))
    assert rejected["status"]["error"] == "quota_exceeded"
    append(ann, first, 0, CLIP)
    ann.call("POST", "/upload", 400, headers=creation(SIZE))
    ann.call("DELETE", f"/upload/{second}", 204, headers=RESUMABLE)
    create(ann, SIZE)


def test_what_does_not_fit_on_the_disk_is_refused(
    service: Service, ann: Api, uuid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(ann, uuid, 0, CLIP[:10])
    with monkeypatch.context() as patch:
        patch.setattr(service.storage, "free", lambda: SIZE // 2)
        answer = ann.call("POST", "/upload", 507, headers=creation(SIZE))
        assert answer.text == "The server's disk is full"
        assert refused(ann, uuid, 507, CLIP[10:], Upload_Offset="10") == answer.text
    append(ann, uuid, 10, CLIP[10:])


def test_a_disk_without_links_is_copied_on(
    service: Service, ann: Api, uuid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    append(ann, uuid, 0, CLIP)
    assert File.get().hash == blake3(CLIP).hexdigest()


def test_nothing_is_probed_before_all_is_there(
    ann: Api, uuid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffmpeg, "run", pytest.fail)
    append(ann, uuid, 0, CLIP[:-1])
    look(ann, uuid)
