"""What is refused before its body has come, and what is answered instead."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.live import Client, LiveServer, served, start_server
from tests.support.paths import DATA
from tests.support.wire import Wire, connected, head
from whisper_service.web import MAX_BODY_BYTES
from whisper_service.web.corrections import MAX_BODY_BYTES as MAX_CORRECTION
from whisper_service.web.forms import MAX_AVATAR_BODY_BYTES, MAX_AVATAR_BYTES, max_upload_body_bytes

MIB = 1024**2
MAX_UPLOAD = MAX_AVATAR_BYTES
STRANGER = "Missing valid Authorization header with session or API key"
CORRECTION = f"PATCH /transcribe/{32 * '0'}"
FORM = "multipart/form-data; boundary=x"


@pytest.fixture(scope="module")
def server(stub_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    yield from served(
        start_server(
            tmp_path_factory.mktemp("channel"),
            stub_models,
            WHISPER_SERVICE_STORAGE_MAX_UPLOAD_BYTES=str(MAX_UPLOAD),
        )
    )


@pytest.fixture(scope="module")
def key(server: LiveServer) -> str:
    return Client(server, "ann").headers["Authorization"]


@pytest.fixture
def wire(server: LiveServer) -> Iterator[Wire]:
    with connected(server) as wire:
        yield wire


def upload(length: int, **headers: str) -> bytes:
    return head("POST", "/file", Content_Length=length, Content_Type=FORM, **headers)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def form(content: bytes) -> bytes:
    named = b'Content-Disposition: form-data; name="file"; filename="a.wav"'
    return b"--x\r\n%s\r\n\r\n%s\r\n--x--\r\n" % (named, content)


@pytest.mark.parametrize("shown", ["", "Bearer " + "0" * 32, "Basic \xff"])
@pytest.mark.parametrize("target", ["POST /file", "POST /files", "PATCH /user", CORRECTION])
def test_an_upload_by_nobody_is_refused_before_it_comes(
    wire: Wire, target: str, shown: str
) -> None:
    method, path = target.split()
    request = head(method, path, Content_Length=MIB, Authorization=shown, Content_Type=FORM)
    answer = wire.asked(request)
    assert (answer.status, answer.text) == (401, STRANGER)
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert wire.is_ended()


def test_a_chunked_upload_by_nobody_is_refused_before_it_comes(wire: Wire) -> None:
    assert wire.asked(head("POST", "/file", Transfer_Encoding="chunked")).status == 401


def test_a_client_that_goes_on_sending_still_reads_the_refusal(wire: Wire) -> None:
    """A connection that is closed on bytes unread is reset, and its answer lost."""
    wire.send(upload(64 * MIB))
    for _ in range(64):
        wire.send(b"x" * MIB)
    assert wire.answer().status == 401
    assert wire.is_ended()


def test_what_follows_a_refused_request_is_not_served(wire: Wire) -> None:
    wire.send(upload(MIB), head("GET", "/health"))
    assert wire.answer().status == 401
    assert wire.is_ended()


def test_an_upload_is_received(wire: Wire, key: str) -> None:
    body = form((DATA / "austen-0880.wav").read_bytes())
    assert wire.asked(upload(len(body), Authorization=key), body).status == 200
    chunked = head(
        "POST", "/file", Transfer_Encoding="chunked", Content_Type=FORM, Authorization=key
    )
    pieces = [body[at : at + 100_000] for at in range(0, len(body), 100_000)]
    assert wire.asked(chunked, *map(chunk, pieces), chunk(b"")).status == 200


@pytest.mark.parametrize("path", ["/user/login", "/transcribe", "/nothing"])
def test_large_bodies_are_refused_outside_of_uploads(wire: Wire, path: str) -> None:
    refused = wire.asked(head("POST", path, Content_Length=MAX_BODY_BYTES + 1))
    assert (refused.status, refused.text) == (413, "Request Entity Too Large")


def test_a_correction_may_be_larger(wire: Wire, key: str) -> None:
    body = b'{"revision": 0, "segments": []' + b" " * MIB + b"}"
    target = CORRECTION.split()
    received = wire.asked(head(*target, Content_Length=len(body), Authorization=key), body)
    assert (received.status, received.text) == (404, "Transcription not found or access denied")
    refused = wire.asked(head(*target, Content_Length=MAX_CORRECTION + 1, Authorization=key))
    assert refused.status == 413


def test_a_large_body_in_chunks_is_cut_off(wire: Wire) -> None:
    wire.send(head("POST", "/user/login", Transfer_Encoding="chunked"))
    for _ in range(MAX_BODY_BYTES // 4096 + 1):
        wire.send(chunk(b" " * 4096))
    assert wire.answer().status == 413


def test_an_upload_has_a_limit(server: LiveServer, key: str) -> None:
    most = max_upload_body_bytes(MAX_UPLOAD)
    with connected(server) as wire:
        assert wire.asked(upload(most + 1, Authorization=key)).status == 413
    with connected(server) as wire:
        wire.send(upload(most, Authorization=key, Expect="100-continue"))
        assert wire.answer().status == 100


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "audio/wav", ""])
@pytest.mark.parametrize("target", ["POST /file", "POST /files", "PATCH /user"])
def test_a_large_body_must_be_a_form(wire: Wire, key: str, target: str, content_type: str) -> None:
    """Nothing else of it can be taken apart without holding it in memory."""
    sent = {"Authorization": key, "Content_Type": content_type}
    answer = wire.asked(head(*target.split(), Content_Length=MAX_BODY_BYTES + 1, **sent))
    assert (answer.status, answer.text) == (400, "Files must be sent as multipart/form-data")
    assert wire.is_ended()


def test_a_large_chunked_body_that_is_no_form_is_cut_off(wire: Wire, key: str) -> None:
    sent = {"Authorization": key, "Content_Type": "application/x-www-form-urlencoded"}
    wire.send(head("POST", "/file", Transfer_Encoding="chunked", **sent))
    for _ in range(MAX_BODY_BYTES // 4096 + 1):
        wire.send(chunk(b"a=1&" * 1024))
    assert wire.answer().status == 413


def test_a_profile_body_is_limited_to_the_size_of_an_avatar(server: LiveServer, key: str) -> None:
    sent = {"Authorization": key, "Content_Type": FORM, "Expect": "100-continue"}
    with connected(server) as wire:
        wire.send(head("PATCH", "/user", Content_Length=MAX_AVATAR_BODY_BYTES, **sent))
        assert wire.answer().status == 100
    with connected(server) as wire:
        answer = wire.asked(
            head("PATCH", "/user", Content_Length=MAX_AVATAR_BODY_BYTES + 1, **sent)
        )
        text = "Avatar file too large. Maximum size is 10MB"
        assert (answer.status, answer.text) == (400, text)


@pytest.mark.parametrize("target", ["//api/v1/file", "api/v1/file", "/api/v1/%66ile"])
def test_other_spellings_of_the_upload_path_are_protected_as_well(wire: Wire, target: str) -> None:
    request = upload(MIB).replace(b"/api/v1/file", target.encode(), 1)
    assert wire.asked(request).status == 401


def test_expect_100_continue_is_answered_before_the_body_comes(
    server: LiveServer, key: str
) -> None:
    body = form((DATA / "austen-0880.wav").read_bytes())
    with connected(server) as wire:
        wire.send(upload(len(body), Authorization=key, Expect="100-continue"))
        assert wire.answer().status == 100
        assert wire.asked(body).status == 200
        assert wire.asked(head("GET", "/health", Expect="100-continue")).status == 200
        assert wire.asked(upload(len(body), Expect="100-continue")).status == 401


def test_a_full_disk_refuses_uploads_alone(stub_models: Path, tmp_path: Path) -> None:
    reserve = {"WHISPER_SERVICE_STORAGE_RESERVE_BYTES": str(2**50)}
    server = start_server(tmp_path, stub_models, **reserve)
    key = Client(server, "ann").headers["Authorization"]
    for length in ({"Content_Length": 100}, {"Transfer_Encoding": "chunked"}):
        with connected(server) as wire:
            assert wire.asked(head("GET", "/file", Authorization=key)).status == 200
            form = {"Authorization": key, "Content_Type": FORM}
            answer = wire.asked(head("POST", "/file", **form, **length))
            assert (answer.status, answer.text) == (507, "The server's disk is full")
    assert server.stop() == 0


def test_a_connection_answers_many_requests(wire: Wire) -> None:
    for _ in range(3):
        wire.send(*[head("GET", "/health"), head("GET", "/file/xyz"), b"\r\n"] * 50)
        statuses = [wire.answer().status for _ in range(100)]
        assert statuses == [200, 400] * 50
    body = b'{"username": "ann"}'
    login = head("POST", "/user/login", Content_Length=len(body)) + body
    wire.send(*[login, head("GET", "/health")] * 500)
    assert [wire.answer().status for _ in range(1000)] == [400, 200] * 500


def test_a_shutdown_answers_requests_that_have_begun(stub_models: Path, tmp_path: Path) -> None:
    server = start_server(tmp_path, stub_models)
    begun = head("POST", "/user/login", Content_Length=2, Expect="100-continue")
    with connected(server) as wire, connected(server) as idle:
        assert idle.asked(head("GET", "/health")).status == 200
        wire.send(begun)
        assert wire.answer().status == 100
        server.process.terminate()
        assert idle.is_ended()
        with pytest.raises(ConnectionRefusedError), connected(server):
            pass
        wire.send(b"[]", head("GET", "/health"))
        answer = wire.answer()
        assert (answer.status, answer.text) == (400, "Invalid JSON body")
        assert answer.headers["connection"] == "close"
        assert wire.is_ended()
    assert server.process.wait(60) == 0
