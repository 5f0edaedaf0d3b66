"""What is refused of resumable uploads, and with which sentence."""

import hashlib

import pytest
from blake3 import blake3

from tests.support.service import Api, Service
from tests.support.tus import (
    CLIP,
    SIZE,
    append,
    bytes_of,
    create,
    creation,
    encoded,
    refused,
)
from whisper_service.tables import Upload
from whisper_service.web import tus

NO_TEXT = encoded(b"\xff")


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register("ann")


@pytest.fixture
def uuid(ann: Api) -> str:
    return create(ann, SIZE)


BAD_CREATIONS: dict[str, tuple[dict[str, str | None], int, str]] = {
    "no length": ({"Upload-Length": None}, 400, "Upload-Length must be a non-negative integer"),
    "negative": ({"Upload-Length": "-1"}, 400, "Upload-Length must be a non-negative integer"),
    "words": ({"Upload-Length": "1e3"}, 400, "Upload-Length must be a non-negative integer"),
    "digits": ({"Upload-Length": "٣"}, 400, "Upload-Length must be a non-negative integer"),
    "huge": ({"Upload-Length": "9" * 400}, 400, "Upload-Length must be a non-negative integer"),
    "large": ({"Upload-Length": str(10**15)}, 413, "The file is larger than 1048576 bytes"),
    "a byte": ({"Upload-Length": str(1024**2 + 1)}, 413, "The file is larger than 1048576 bytes"),
    "empty": ({"Upload-Length": "0"}, 400, "The file is empty"),
    "deferred": ({"Upload-Defer-Length": "1"}, 400, "Upload-Defer-Length is not supported"),
    "joined": ({"Upload-Concat": "partial"}, 400, "Upload-Concat is not supported"),
    "much": (
        {"Upload-Metadata": "a " + "A" * 4096},
        400,
        "Upload-Metadata must be at most 4096 ASCII characters",
    ),
    "raw": (
        {"Upload-Metadata": "filename Grüße"},
        400,
        "Upload-Metadata must be at most 4096 ASCII characters",
    ),
    "no base64": (
        {"Upload-Metadata": "filename a.wav"},
        400,
        "filename in Upload-Metadata must be base64",
    ),
    "no text": (
        {"Upload-Metadata": f"filename {NO_TEXT}"},
        400,
        "filename in Upload-Metadata must be UTF-8",
    ),
}


@pytest.mark.parametrize("name", BAD_CREATIONS)
def test_a_bad_creation_is_refused(ann: Api, name: str) -> None:
    headers, status, sentence = BAD_CREATIONS[name]
    sent = {key: value for key, value in (creation(SIZE) | headers).items() if value is not None}
    answer = ann.call("POST", "/upload", status, headers=sent)
    assert (answer.text, answer.headers["Tus-Resumable"]) == (sentence, "1.0.0")
    assert Upload.select().count() == 0


@pytest.mark.parametrize(
    ("metadata", "name"),
    [
        ("", "file"),
        ("filename", "file"),
        (f"type {encoded('audio/wav')},filename {encoded('é.wav')}", "é.wav"),
        (f"filename {encoded('/etc/passwd')}", "passwd"),
        (f"filename {encoded('x' * 2000)}", "x" * 255),
        (f"filename {encoded('a')},filename {encoded('b')},{'x,' * 1000}", "a"),
    ],
)
def test_a_name_is_bounded_and_never_a_path(ann: Api, metadata: str, name: str) -> None:
    headers = creation(SIZE) | {"Upload-Metadata": metadata}
    ann.call("POST", "/upload", 201, headers=headers)
    assert [row.filename for row in Upload.select()] == [name]


BAD_PIECES: dict[str, tuple[dict[str, str], int, str]] = {
    "ahead": ({"Upload_Offset": "11"}, 409, "Upload-Offset is 11, but 10 bytes were received"),
    "behind": ({"Upload_Offset": "0"}, 409, "Upload-Offset is 0, but 10 bytes were received"),
    "negative": ({"Upload_Offset": "-10"}, 400, "Upload-Offset must be a non-negative integer"),
    "plus": ({"Upload_Offset": "+10"}, 400, "Upload-Offset must be a non-negative integer"),
    "none": ({"Upload_Offset": ""}, 400, "Upload-Offset must be a non-negative integer"),
    "huge": ({"Upload_Offset": "9" * 99}, 400, "Upload-Offset must be a non-negative integer"),
    "form": (
        {"Content_Type": "multipart/form-data"},
        415,
        "The body must be application/offset+octet-stream",
    ),
    "unknown": (
        {"Upload_Checksum": f"crc32 {encoded(b'0000')}"},
        400,
        "Unsupported checksum algorithm. Must be one of: sha1, sha256, md5, blake3",
    ),
    "short": (
        {"Upload_Checksum": f"sha1 {encoded(b'0' * 19)}"},
        400,
        "Upload-Checksum has a wrong length",
    ),
    "hex": ({"Upload_Checksum": "sha1 xyz"}, 400, "Upload-Checksum must be base64"),
    "nothing": ({"Upload_Checksum": "sha1"}, 400, "Upload-Checksum has a wrong length"),
    "wrong": ({"Upload_Checksum": f"sha1 {encoded(b'0' * 20)}"}, 460, "Checksum mismatch"),
}


@pytest.mark.parametrize("name", BAD_PIECES)
def test_a_bad_piece_is_refused_and_nothing_of_it_kept(
    service: Service, ann: Api, uuid: str, name: str
) -> None:
    headers, status, sentence = BAD_PIECES[name]
    append(ann, uuid, 0, CLIP[:10])
    sent = {"Upload_Offset": "10", **headers}
    assert refused(ann, uuid, status, CLIP[10:20], **sent) == sentence
    assert bytes_of(service) == {uuid: CLIP[:10]}
    append(ann, uuid, 10, CLIP[10:])


def test_more_than_was_declared_is_refused(service: Service, ann: Api, uuid: str) -> None:
    append(ann, uuid, 0, CLIP[:10])
    sentence = "The body is longer than the rest of the upload"
    assert refused(ann, uuid, 413, CLIP[10:] + b"x", Upload_Offset="10") == sentence
    assert bytes_of(service) == {uuid: CLIP[:10]}


@pytest.mark.parametrize("name", tus.ALGORITHMS)
def test_a_checksum_is_verified(service: Service, ann: Api, uuid: str, name: str) -> None:
    new = blake3 if name == "blake3" else getattr(hashlib, name)
    digest = encoded(new(CLIP[:99]).digest())
    checksum = {"Upload_Checksum": f"{name} {digest}"}
    assert refused(ann, uuid, 460, CLIP[1:100], **checksum) == "Checksum mismatch"
    assert bytes_of(service) == {}
    append(ann, uuid, 0, CLIP[:99], **checksum)
    assert bytes_of(service) == {uuid: CLIP[:99]}
