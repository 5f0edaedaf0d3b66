"""When resumable uploads are removed."""

import os
import time

import pytest

from tests.support.interleaving import after
from tests.support.service import Api, Service
from tests.support.statements import before_statements
from tests.support.tus import (
    CLIP,
    SIZE,
    append,
    bytes_of,
    create,
    look,
    refused,
)
from whisper_service import db
from whisper_service.files import inventory, resumable
from whisper_service.files.storage import Storage
from whisper_service.tables import Upload


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register("ann")


@pytest.fixture
def uuid(ann: Api) -> str:
    return create(ann, SIZE)


def age(service: Service, uuid: str, hours: float) -> None:
    """Let an upload be as old as that, with its bytes."""
    Upload.update(expires_at=Upload.expires_at - int(3600 * hours)).execute()
    if (path := service.storage.uploads.path(uuid)).exists():
        then = time.time() - 3600 * hours
        os.utime(path, (then, then))
    service.storage.uploads.next_expiry = 0


def test_an_upload_expires_some_time_after_its_last_bytes(
    service: Service, ann: Api, uuid: str
) -> None:
    assert not service.worker.tidy_once()  # there are no expired ones
    other = create(ann, SIZE)
    for each in (uuid, other):
        append(ann, each, 0, CLIP[:10])
    age(service, uuid, 25)
    service.worker.tidy_once()
    assert {row.uuid for row in Upload.select()} == {other}
    assert bytes_of(service) == {other: CLIP[:10]}
    assert 23.9 * 3600 < service.storage.uploads.next_expiry - time.time() <= 24 * 3600
    assert not service.worker.tidy_once()
    append(ann, other, 10, CLIP[10:])


def test_an_expired_upload_is_gone_before_it_is_removed(
    service: Service, ann: Api, uuid: str
) -> None:
    append(ann, uuid, 0, CLIP[:10])
    age(service, uuid, 25)
    assert refused(ann, uuid, 410, CLIP[10:], Upload_Offset="10") == "The upload has expired"
    look(ann, uuid, 410)
    assert ann.error("GET", f"/upload/{uuid}", 410) == "The upload has expired"


def test_an_upload_that_expires_while_it_arrives_gets_nothing_more(
    service: Service, ann: Api, uuid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(ann, uuid, 0, CLIP[:10])

    def expire() -> None:
        age(service, uuid, 25)
        service.worker.tidy_once()

    after(monkeypatch, resumable, "check", expire)
    refused(ann, uuid, 423, CLIP[10:], Upload_Offset="10")
    assert bytes_of(service) == {}


def test_without_uploads_nobody_looks_for_expired_ones(service: Service, ann: Api) -> None:
    statements: list[str] = []
    with before_statements(statements.append):
        for _ in range(5):
            service.worker.tidy_once()
    assert not [text for text in statements if "upload" in text]


def test_uploads_are_swept_at_a_start(service: Service, ann: Api, uuid: str) -> None:
    append(ann, uuid, 0, CLIP[:10])
    ended, unknown = create(ann, SIZE), "f" * 32
    append(ann, ended, 0, CLIP)
    for left in (ended, unknown):
        service.storage.uploads.path(left).write_bytes(b"left")
    again = Storage(service.storage.root)
    again.sweep(*inventory.list_stored(db.database.connection()))
    assert bytes_of(service) == {uuid: CLIP[:10]}
    assert again.uploads.next_expiry == min(row.expires_at for row in Upload.select())
