"""What a download answers, header by header."""

import re
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

import pytest
from werkzeug.test import TestResponse

from tests.support.ffmpeg import run_ffmpeg
from tests.support.paths import DATA
from tests.support.service import Api, Service
from whisper_service.tables import File

WAV = (DATA / "austen-0880.wav").read_bytes()
SIZE = len(WAV)
# RFC 8187: what may stand in filename* as it is, the rest is percent-encoded.
ENCODED_NAME = re.compile(r"filename\*=UTF-8''((?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-F]{2})+)")


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register("ann")


@pytest.fixture
def uuid(ann: Api) -> str:
    """An upload that is not converted yet, so that its bytes are known."""
    (file,) = ann.send(("talk.wav", WAV))
    return file["uuid"]


def download(service: Service, uuid: str, expect: int = 200, **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = service.anyone.call("GET", f"/file/{uuid}", expect=expect, headers=named)
    # A server sends no more than Content-Length (PEP 3333); this client stands in for one.
    length = response.content_length
    data = response.data[:length]
    assert len(data) == (length or 0)
    response.data = data
    return response


def etag(service: Service, uuid: str) -> str:
    return download(service, uuid).headers["ETag"]


def test_a_download_is_the_whole_file(service: Service, uuid: str) -> None:
    response = download(service, uuid)
    assert response.data == WAV
    headers = response.headers
    assert headers["Content-Type"] == "audio/wav"
    assert headers["Content-Length"] == str(SIZE)
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Content-Disposition"] == "inline; filename=talk.wav"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].split(";")[0] == "sandbox"
    assert re.fullmatch(r'"[!-~]+"', headers["ETag"])
    assert "Content-Range" not in headers


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-", 0, SIZE),
        ("bytes=5-9", 5, 10),
        ("bytes=0-0", 0, 1),
        ("bytes=-5", SIZE - 5, SIZE),
        (f"bytes=-{SIZE}", 0, SIZE),
        (f"bytes=-{SIZE + 1}", 0, SIZE),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        (f"bytes={SIZE - 10}-{SIZE + 10}", SIZE - 10, SIZE),
        (f"bytes=7-{10**100}", 7, SIZE),
        ("Bytes = 5-9", 5, 10),
    ],
)
def test_a_range_is_answered_with_its_bytes(
    service: Service, uuid: str, asked: str, start: int, stop: int
) -> None:
    response = download(service, uuid, 206, Range=asked)
    assert response.data == WAV[start:stop]
    assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert response.headers["Content-Length"] == str(stop - start)
    assert response.headers["Content-Type"] == "audio/wav"
    assert response.headers["ETag"] == etag(service, uuid)


@pytest.mark.parametrize(
    "asked", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", f"bytes={10**100}-"]
)
def test_a_range_behind_the_end_is_not_satisfiable(service: Service, uuid: str, asked: str) -> None:
    response = download(service, uuid, 416, Range=asked)
    assert response.headers["Content-Range"] == f"bytes */{SIZE}"
    assert response.content_type == "text/plain; charset=utf-8"
    assert response.text == "Requested Range Not Satisfiable"


@pytest.mark.parametrize(
    "asked",
    [
        *("", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=9-5", "bytes=--5", "bytes=1.5-2"),
        *("bytes=+1-2", "bytes=0x1-2", "bytes=1_0-20", "bytes=\xb2-", "bytes=5-9,20-29"),
        *("bytes=-5,0-", "lines=5-9", "5-9", "bytes=" + ",".join(["0-"] * 5000)),
    ],
)
def test_a_malformed_range_is_ignored(service: Service, uuid: str, asked: str) -> None:
    response = download(service, uuid, 200, Range=asked)
    assert response.data == WAV
    assert "Content-Range" not in response.headers


def test_if_range_with_another_etag_gets_the_whole_file(service: Service, uuid: str) -> None:
    current = etag(service, uuid)
    part = download(service, uuid, 206, Range="bytes=5-9", If_Range=current)
    assert part.data == WAV[5:10]
    stale = ['"another"', f"W/{current}", "Wed, 21 Oct 2015 07:28:00 GMT", "nonsense", "*"]
    for value in stale:
        assert download(service, uuid, 200, Range="bytes=5-9", If_Range=value).data == WAV
        behind = download(service, uuid, 200, Range=f"bytes={SIZE}-", If_Range=value)
        assert behind.data == WAV


def test_an_unchanged_file_is_a_304(service: Service, uuid: str) -> None:
    current = etag(service, uuid)
    for value in (current, f"W/{current}", f'"another", {current}', "*"):
        for asked in ({}, {"Range": "bytes=5-9"}, {"Range": f"bytes={SIZE}-"}):
            response = download(service, uuid, 304, If_None_Match=value, **asked)
            assert response.data == b""
            assert response.headers["ETag"] == current
            assert "Content-Type" not in response.headers
            assert "Content-Range" not in response.headers
    assert download(service, uuid, 200, If_None_Match='"another"').data == WAV
    assert (
        download(service, uuid, 206, If_None_Match='"another"', Range="bytes=5-9").data == WAV[5:10]
    )


def test_head_tells_all_but_the_bytes(service: Service, uuid: str) -> None:
    """A range is defined for GET alone (RFC 9110, section 14.2)."""
    whole = download(service, uuid)
    for headers in ({}, {"Range": "bytes=5-9"}, {"Range": f"bytes={SIZE}-"}):
        head = service.anyone.call("HEAD", f"/file/{uuid}", headers=headers)
        assert head.data == b""
        for response in (head, whole):
            response.headers.pop("X-Request-Id", None)
        assert dict(head.headers) == dict(whole.headers)
    none = {"If-None-Match": whole.headers["ETag"]}
    assert service.anyone.call("HEAD", f"/file/{uuid}", expect=304, headers=none).data == b""
    missing = service.anyone.call("HEAD", f"/file/{'0' * 32}", expect=404)
    assert missing.data == b""


def test_the_converted_copy_takes_the_place_of_the_original(
    service: Service, ann: Api, uuid: str
) -> None:
    before = etag(service, uuid)
    service.work()
    response = download(service, uuid)
    assert response.data == service.storage.converted(uuid).read_bytes() != WAV
    assert response.headers["Content-Type"] == "audio/mpeg"
    assert response.headers["Content-Disposition"] == "inline; filename=talk.mp3"
    assert ann.get("/file")["files"][0]["size_bytes"] == len(response.data)
    assert response.headers["ETag"] != before
    stale = download(service, uuid, 200, Range="bytes=5-9", If_Range=before)
    assert stale.data == response.data
    assert download(service, uuid, 200, If_None_Match=before).data == response.data


def test_a_video_is_named_after_what_it_became(service: Service, ann: Api, tmp_path: Path) -> None:
    film = tmp_path / "film.mkv"
    picture = ["-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=0.5"]
    sound = ["-f", "lavfi", "-i", "anoisesrc=r=16000:d=0.5"]
    run_ffmpeg(*picture, *sound, "-c:v", "mpeg4", "-c:a", "flac", film)
    (file,) = ann.upload(film)
    assert disposition(service, file["uuid"]) == "inline; filename=film.mkv"
    service.work()
    assert disposition(service, file["uuid"]) == "inline; filename=film.mp4"
    assert download(service, file["uuid"]).headers["Content-Type"] == "video/mp4"


def disposition(service: Service, uuid: str) -> str:
    return download(service, uuid).headers["Content-Disposition"]


@pytest.mark.parametrize(
    ("name", "shown", "plain"),
    [
        ("talk.flac", "talk.wav", None),
        ("talk", "talk.wav", None),
        ("talk.v2", "talk.v2.wav", None),
        (".wav", ".wav.wav", None),
        ("a talk.wav", "a talk.wav", None),
        ('say "hi"; filename=x.exe', 'say "hi"; filename=x.exe.wav', None),
        ("100%41%.wav", "100%41%.wav", None),
        ("интервью.wav", "интервью.wav", "________.wav"),
        ("a 😀 'talk' 100%.wav", "a 😀 'talk' 100%.wav", "a _ 'talk' 100%.wav"),
        ('"é"\u0301 (1).wav', '"é"\u0301 (1).wav', '"_"_ (1).wav'),
        ('/etc/\\"x".wav', '"x".wav', None),
        ("ñ" * 255, "ñ" * 255 + ".wav", "_" * 255 + ".wav"),
    ],
)
def test_a_name_survives_its_header(
    service: Service, ann: Api, uuid: str, name: str, shown: str, plain: str | None
) -> None:
    ann.call("PATCH", f"/file/{uuid}", json={"filename": name})
    value = disposition(service, uuid)
    assert value.isascii()
    assert value.isprintable()
    message = Message()
    message["Content-Disposition"] = re.sub(r"; filename\*=.*", "", value)
    assert message.get_content_disposition() == "inline"
    assert message.get_params(header="Content-Disposition")[1:] == [("filename", plain or shown)]
    encoded = ENCODED_NAME.search(value)
    assert (encoded is not None) == (plain is not None)
    if encoded:
        assert value.endswith(encoded[0])
        assert unquote(encoded[1]) == shown


def test_unknown_and_deleted_files_are_404(service: Service, ann: Api, uuid: str) -> None:
    anyone = service.anyone
    assert anyone.error("GET", "/file/xyz", 400) == "Invalid UUID format"
    assert anyone.error("GET", f"/file/{uuid}0", 400) == "Invalid UUID format"
    assert anyone.error("GET", f"/file/{'0' * 32}", 404) == "File not found or access denied"
    service.storage.original(uuid).unlink()
    assert anyone.error("GET", f"/file/{uuid}", 404) == "File not found on disk"
    ann.call("DELETE", f"/file/{uuid}")
    assert anyone.error("GET", f"/file/{uuid}", 404) == "File not found or access denied"
    assert File.select().count() == 0


def test_every_spelling_of_a_uuid_finds_the_file(service: Service, uuid: str) -> None:
    hyphens = re.sub(r"(.{8})(.{4})(.{4})(.{4})(.{12})", r"\1-\2-\3-\4-\5", uuid)
    for spelling in (uuid.upper(), hyphens, hyphens.upper()):
        assert download(service, spelling).data == WAV


def test_nothing_stays_open(service: Service, uuid: str) -> None:
    current = etag(service, uuid)
    before = open_recordings(service)
    for headers in (
        {},
        {"Range": "bytes=5-9"},
        {"Range": f"bytes={SIZE}-"},
        {"If-None-Match": current},
    ):
        for method in ("GET", "HEAD"):
            with service.client.open(
                f"/api/v1/file/{uuid}", method=method, headers=headers
            ) as answer:
                assert answer.status_code in {200, 206, 304, 416}
            assert open_recordings(service) == before == []


def open_recordings(service: Service) -> list[str]:
    """List what this process has open of the storage's recordings."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            continue
        if target.startswith(str(service.storage.root / "files")):
            found.append(target)
    return found


def test_the_file_is_handed_to_the_server(service: Service, uuid: str) -> None:
    """It goes to WSGI's file wrapper, at its place, and not through a generator."""

    class Wrapper:
        def __init__(self, file: BinaryIO, _size: int = 0) -> None:
            self.file = file
            self.place = file.tell()

        def __iter__(self) -> Iterator[bytes]:
            yield self.file.read(5)

        def close(self) -> None:
            self.file.close()
            closed.append(self.place)

    closed: list[int] = []
    response = service.anyone.call(
        "GET",
        f"/file/{uuid}",
        expect=206,
        headers={"Range": "bytes=5-9"},
        environ_overrides={"wsgi.file_wrapper": Wrapper},
    )
    assert response.data == WAV[5:10]
    response.close()
    assert closed == [5]
