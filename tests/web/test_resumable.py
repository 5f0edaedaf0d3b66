"""Resumable uploads: each rule of tus 1.0.0."""

import time
from dataclasses import replace
from typing import Any

import pytest
from blake3 import blake3
from werkzeug.http import parse_date

from tests.support.service import Api, Service
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
from whisper_service.tables import File

NOBODY = "0" * 32


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register("ann")


@pytest.fixture
def uuid(ann: Api) -> str:
    return create(ann, SIZE)


@pytest.mark.parametrize("path", ["/upload", "/uploads", f"/upload/{NOBODY}", f"/uploads/{NOBODY}"])
def test_anyone_may_ask_what_is_supported(service: Service, path: str) -> None:
    answer = service.anyone.call("OPTIONS", path, 204)
    said = {name: value for name, value in answer.headers.items() if name.startswith("Tus-")}
    assert said == {
        "Tus-Resumable": "1.0.0",
        "Tus-Version": "1.0.0",
        "Tus-Extension": "creation,expiration,termination,checksum",
        "Tus-Max-Size": str(service.settings.storage.max_upload_bytes),
        "Tus-Checksum-Algorithm": "sha1,sha256,md5,blake3",
    }


@pytest.mark.parametrize("plural", ["", "s"])
def test_a_recording_arrives_piece_by_piece(service: Service, ann: Api, plural: str) -> None:
    sent = creation(SIZE, "Grüße/../a b.wav")
    created = ann.call("POST", f"/upload{plural}", 201, headers=sent)
    location = created.headers["Location"]
    uuid = created.json["uuid"]
    assert location == f"/api/v1/upload{plural}/{uuid}"
    expires = created.headers["Upload-Expires"]
    assert 23.9 * 3600 < parse_date(expires).timestamp() - time.time() <= 24 * 3600
    assert created.headers["Upload-Offset"] == "0"
    path = location.removeprefix("/api/v1")
    for start in range(0, SIZE, 100_000):
        assert look(ann, uuid).headers["Upload-Offset"] == str(start)
        data = CLIP[start : start + 100_000]
        answer = ann.call("PATCH", path, 204, data=data, headers=piece(start))
        assert answer.headers["Upload-Offset"] == str(start + len(data))
        assert answer.headers["Upload-Expires"]
    (file,) = File.select()
    assert file.hash == blake3(CLIP).hexdigest()
    assert file.filename == "a b.wav"
    assert service.storage.original(file.uuid).read_bytes() == CLIP
    assert bytes_of(service) == {}
    assert list(service.storage.temporary_folder.iterdir()) == []
    assert answer.headers["File-UUID"] == file.uuid
    asked = look(ann, uuid).headers
    assert asked["Upload-Offset"] == asked["Upload-Length"] == str(SIZE)
    assert asked["Upload-Metadata"] == sent["Upload-Metadata"]
    assert asked["Cache-Control"] == "no-store"
    assert asked["File-UUID"] == file.uuid
    (usual,) = ann.send(("a b.wav", CLIP))
    assert ann.get(f"/upload/{uuid}")["file"] == usual | {
        "message": "File uploaded successfully",
        "status": {"existed": False, "uploaded": True},
    }


def test_what_is_shown_before_and_after(ann: Api, uuid: str) -> None:
    append(ann, uuid, 0, CLIP[:10])
    shown = ann.get(f"/upload/{uuid}")
    assert len(shown.pop("expires_at")) == len("2026-11-29 02:30:52")
    assert shown == {"uuid": uuid, "offset": 10, "size_bytes": SIZE, "file": None}


def test_the_same_bytes_are_the_same_file(ann: Api, uuid: str) -> None:
    (known,) = ann.send(("known.wav", CLIP))
    assert append(ann, uuid, 0, CLIP).headers["File-UUID"] == known["uuid"]
    status = ann.get(f"/upload/{uuid}")["file"]["status"]
    assert status == {"existed": True, "uploaded": False}


@pytest.mark.parametrize("version", [None, "0.2.2", "2.0.0", "1.0.0, 1.0.0"])
@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE"])
def test_another_version_is_refused(ann: Api, uuid: str, method: str, version: str | None) -> None:
    headers = piece(0) | creation(SIZE)
    headers.pop("Tus-Resumable")
    if version:
        headers["Tus-Resumable"] = version
    path = "/upload" if method == "POST" else f"/upload/{uuid}"
    answer = ann.call(method, path, 412, headers=headers)
    assert answer.headers["Tus-Version"] == answer.headers["Tus-Resumable"] == "1.0.0"
    assert method == "HEAD" or answer.text == "Tus-Resumable must be 1.0.0"


@pytest.mark.parametrize("method", ["POST", "GET", "HEAD", "PATCH", "DELETE"])
def test_an_upload_is_its_owner_s_alone(service: Service, ann: Api, uuid: str, method: str) -> None:
    path = "/upload" if method == "POST" else f"/upload/{uuid}"
    headers = creation(SIZE) | piece(0)
    service.anyone.call(method, path, 401, headers=headers, data=b"")
    if method != "POST":
        bob = service.register("bob")
        for path in (f"/upload/{uuid}", f"/upload/{NOBODY}"):
            answer = bob.call(method, path, 404, headers=headers)
            assert method == "HEAD" or answer.text == "Upload not found or access denied"
        bob.call(method, "/upload/none", 400, headers=headers)
    append(ann, uuid, 0, CLIP)


def test_a_post_stands_for_other_methods(service: Service, ann: Api, uuid: str) -> None:
    path = f"/upload/{uuid}"

    def post(method: str, expect: int, **arguments: Any) -> Any:
        headers = piece(0, X_HTTP_Method_Override=method)
        return ann.call("POST", path, expect, headers=headers, **arguments)

    assert post("PATCH", 204, data=CLIP[:10]).headers["Upload-Offset"] == "10"
    assert post("HEAD", 200).headers["Upload-Offset"] == "10"
    assert post("GET", 200).json["offset"] == 10
    post("PUT", 405)
    ann.call("POST", path, 405, headers=RESUMABLE)
    post("DELETE", 204)
    look(ann, uuid, 404)
    assert bytes_of(service) == {}


def test_a_deleted_upload_is_gone_but_its_file_stays(service: Service, ann: Api, uuid: str) -> None:
    append(ann, uuid, 0, CLIP[:10])
    stored = create(ann, SIZE)
    append(ann, stored, 0, CLIP)
    for each in (uuid, stored):
        answer = ann.call("DELETE", f"/upload/{each}", 204, headers=RESUMABLE)
        assert answer.headers["Tus-Resumable"] == "1.0.0"
        ann.call("DELETE", f"/upload/{each}", 404, headers=RESUMABLE)
        look(ann, each, 404)
    assert bytes_of(service) == {}
    assert File.select().count() == 1


def test_a_stored_upload_answers_a_repeated_end_and_takes_no_more(ann: Api, uuid: str) -> None:
    """A client that missed the last answer sends nothing at the end again."""
    first = append(ann, uuid, 0, CLIP).headers["File-UUID"]
    assert append(ann, uuid, SIZE, b"").headers["File-UUID"] == first
    assert "longer" in refused(ann, uuid, 413, b"x", Upload_Offset=str(SIZE))
    assert "but" in refused(ann, uuid, 409, b"x", Upload_Offset="5")


def test_an_upload_goes_with_the_file_that_it_became(ann: Api, uuid: str) -> None:
    file = append(ann, uuid, 0, CLIP).headers["File-UUID"]
    ann.call("DELETE", f"/file/{file}")
    look(ann, uuid, 404)


def test_pages_of_allowed_origins_may_use_it(service: Service, ann: Api) -> None:
    server = replace(service.settings.server, cors_origins=("https://example.org",))
    services = service.client.application.extensions["services"]
    services.config = replace(service.settings, server=server)
    origin = {"Origin": "https://example.org"}
    asked = {**origin, "Access-Control-Request-Method": "PATCH"}
    preflight = service.anyone.call("OPTIONS", "/upload", 204, headers=asked).headers
    allowed = preflight["Access-Control-Allow-Headers"].split(", ")
    assert {"Tus-Resumable", "Upload-Length", "Upload-Metadata"} <= set(allowed)
    created = ann.call("POST", "/upload", 201, headers=creation(SIZE) | origin).headers
    exposed = created["Access-Control-Expose-Headers"].split(", ")
    assert {"Location", "Upload-Offset", "Upload-Expires", "File-UUID"} <= set(exposed)
