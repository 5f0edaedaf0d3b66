import io
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from tests.conftest import Service
from tests.speech import DATA
from whisper_service.tables import File

JFK = DATA / "jfk.wav"


def leftovers(service: Service) -> list[Path]:
    return list((service.storage.root / "tmp").iterdir())


def test_an_upload_is_kept_byte_for_byte(service: Service) -> None:
    ann = service.register()
    (answer,) = ann.upload(JFK)
    row = File.get()
    assert answer == {
        "message": "File uploaded successfully",
        "filename": "jfk.wav",
        "uuid": row.uuid,
        "hash": blake3(JFK.read_bytes()).hexdigest(),
        "status": {"existed": False, "uploaded": True},
    }
    assert service.storage.original(row.uuid).read_bytes() == JFK.read_bytes()
    assert (row.status, row.content_type, row.kind) == ("converting", "audio/wav", "audio")
    assert leftovers(service) == []


def test_the_same_bytes_are_the_same_file_of_a_user(service: Service) -> None:
    ann, bob = service.register("ann"), service.register("bob")
    (first,) = ann.upload(JFK)
    (second,) = ann.upload(JFK)
    assert second["message"] == "File already exists"
    assert second["uuid"] == first["uuid"]
    assert second["status"] == {"existed": True, "uploaded": False}
    (theirs,) = bob.upload(JFK)
    assert theirs["status"]["existed"] is False
    assert theirs["uuid"] != first["uuid"]
    assert leftovers(service) == []


def test_a_bad_file_does_not_fail_the_others(service: Service) -> None:
    ann = service.register()
    results = ann.send(
        ("document.pdf", b"%PDF-1.7 ..."),
        ("empty.wav", b""),
        ("one.wav", JFK.read_bytes()),
        ("two.wav", JFK.read_bytes()),
        ("big.wav", b"\0" * (1024**2 + 1)),
    )
    assert [(item["filename"], item["status"].get("error")) for item in results] == [
        ("document.pdf", "unsupported_content_type"),
        ("empty.wav", "empty_file"),
        ("one.wav", None),
        ("two.wav", None),
        ("big.wav", "file_too_large"),
    ]
    assert results[0] == {
        "message": "Unsupported content type",
        "filename": "document.pdf",
        "status": {"existed": False, "uploaded": False, "error": "unsupported_content_type"},
    }
    assert [item["status"]["existed"] for item in results] == [False] * 3 + [True, False]
    assert File.select().count() == 1
    assert leftovers(service) == []


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"json": {"file": "x"}},
        {"data": {"file": "a text field"}},
        {"data": {"file": (io.BytesIO(b""), "")}},
    ],
)
def test_without_a_file_there_is_nothing_to_do(service: Service, arguments: dict) -> None:
    message = service.register().error("POST", "/file", 400, **arguments)
    assert message == "No file provided"


@pytest.mark.parametrize(
    "body",
    [
        b"no boundary in here",
        b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\nhalf a fi',
    ],
)
def test_half_a_form_is_refused_and_leaves_nothing(service: Service, body: bytes) -> None:
    message = service.register().error(
        "POST", "/file", 400, data=body, content_type="multipart/form-data; boundary=x"
    )
    assert message == "Invalid multipart body"
    assert leftovers(service) == []


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("интервью 😀.wav", "интервью 😀.wav"),
        ("a\u202egnp.wav", "agnp.wav"),
        ("x" * 300, "x" * 255),
        ("/", "file"),
    ],
)
def test_a_name_is_cleaned_and_never_a_path(service: Service, sent: str, kept: str) -> None:
    service.register().send((sent, JFK.read_bytes()))
    assert File.get().filename == kept


def test_identical_uploads_at_once_make_one_file(service: Service) -> None:
    ann = service.register()
    answers = []

    def upload() -> None:
        client = service.client.application.test_client()
        answers.extend(replace(ann, client=client).upload(JFK))

    threads = [threading.Thread(target=upload) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({answer["uuid"] for answer in answers}) == 1
    assert [answer["status"]["uploaded"] for answer in answers].count(True) == 1
    assert len(list((service.storage.root / "files").iterdir())) == 1
    assert leftovers(service) == []
