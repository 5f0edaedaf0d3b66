"""An API key in the path is as good as one in a header, and stands in no log and in no answer."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from waitress.adjustments import Adjustments

from tests.support.bazarr import samples_of
from tests.support.harness import program
from tests.support.live import Client, LiveServer, start_server
from tests.support.paths import DATA
from tests.support.waiting import until
from tests.support.wire import connected
from whisper_service.credentials import MISSING
from whisper_service.server import key_path
from whisper_service.server.parser import RequestParser

KEY = "01a2253ce64279f288189d1b51a0c024"
BODY = (
    b'--x\r\nContent-Disposition: form-data; name="audio_file"; filename="a"\r\n\r\n'
    + samples_of(DATA / "austen-0880.wav")
    + b"\r\n--x--\r\n"
)
FORM = "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("path", "left", "key"),
    [
        (f"/key/{KEY}/asr", "/asr", KEY),
        (f"/key/{KEY}/detect-language", "/detect-language", KEY),
        (f"//key/{KEY}/asr", "/asr", KEY),
        ("/key//asr", "/asr", ""),
        ("/key/a b\r\n/asr", "/asr", "a b\r\n"),
        (f"/key/{KEY}", "/key", None),
        (f"/key/{KEY}/", "/key", None),
        (f"/key/{KEY}/asr/", "/key", None),
        (f"/key/{KEY}/asr\n", "/key", None),
        (f"/key/{KEY}/api/v1/user", "/key", None),
        (f"/key//{KEY}/asr", "/key", None),
        ("/key", "/key", None),
        ("/keys", "/keys", None),
        ("/asr", "/asr", None),
        ("/api/v1/key/x/asr", "/api/v1/key/x/asr", None),
    ],
)
def test_a_key_is_taken_out_of_a_path(path: str, left: str, key: str | None) -> None:
    headers: dict[str, str] = {}
    assert key_path.move_to_header(path, headers) == left
    assert headers == ({} if key is None else {"AUTHORIZATION": f"Bearer {key}"})


def test_the_key_in_the_path_counts() -> None:
    headers = {"AUTHORIZATION": "Bearer other"}
    key_path.move_to_header(f"/key/{KEY}/asr", headers)
    assert headers == {"AUTHORIZATION": f"Bearer {KEY}"}


@dataclass
class Logged:
    """A service, with all that it has written to standard error."""

    server: LiveServer
    stderr: Path
    user: Client

    @property
    def key(self) -> str:
        return str(self.user.headers["Authorization"].removeprefix("Bearer "))

    def post(self, key: str, path: str = "/asr", **arguments: Any) -> requests.Response:
        arguments = {"data": BODY, "headers": {"Content-Type": FORM}, **arguments}
        url = f"{self.server.url}/key/{key}{path}"
        return requests.post(url, params={"encode": "false"}, timeout=30, **arguments)

    def log(self) -> str:
        return self.stderr.read_text()


@contextmanager
def logged(folder: Path, models: Path, broken: str, **environ: str) -> Iterator[Logged]:
    """Start a service whose standard error is kept; nothing in it may be a part of the key."""
    default = {"WHISPER_SERVICE_MODELS_DEFAULT": "ggml-tiny.en"}
    path = folder / "stderr"
    with path.open("wb") as stderr:
        server = start_server(
            folder / "storage",
            models,
            program=program(broken),
            stderr=stderr,
            **default,
            **environ,
        )
    try:
        service = Logged(server, path, Client(server, "ann"))
        yield service
        metrics = requests.get(f"{server.url}/metrics", timeout=10).text
        assert server.stop() == 0
    finally:
        server.process.kill()
        server.process.wait()
    secret = service.key[12:]  # the rest is the time of its creation
    for text in (service.log(), metrics):
        assert "/asr" in text
        assert secret not in text.lower().replace("-", "")


def spellings(key: str) -> list[str]:
    return [key, key.upper(), str(uuid.UUID(key)), f"%{ord(key[0]):x}{key[1:]}"]


def test_a_key_in_the_path_is_one_in_a_header(stub_models: Path, tmp_path: Path) -> None:
    with logged(tmp_path, stub_models, "all is logged") as service:
        for key in spellings(service.key):
            answer = service.post(key)
            assert (answer.status_code, answer.text) == (200, "Hello world.\n")
            assert answer.headers["Cache-Control"] == "no-store"
        assert service.post(service.key, "/detect-language").json() == {
            "detected_language": "welsh",
            "language_code": "cy",
            "confidence": 0.75,
        }
        for wrong in ("f" * 32, "nonsense", "a%20b", "a%0d%0ab", "%ff", "Basic%20x", "x" * 20_000):
            for body in (BODY, b""):  # the first is refused by its head
                answer = service.post(wrong, data=body)
                assert (answer.status_code, answer.text) == (401, MISSING)
                assert answer.headers["Cache-Control"] == "no-store"
        answer = service.post("f" * 32, headers={**service.user.headers, "Content-Type": FORM})
        assert answer.status_code == 401
        for path, status in (("/asr/", 404), ("/api/v1/file", 404), ("/../asr", 404), ("", 404)):
            answer = service.post(service.key, path, data=b"")
            assert (answer.status_code, answer.text) == (status, "Not Found")
            assert answer.headers["Cache-Control"] == "no-store"
            assert "Location" not in answer.headers
        answer = requests.get(f"{service.server.url}/key/{service.key}/asr", timeout=10)
        assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("rest", ["HTTP/1.1\r\nContent-Length: x", "HTTP/9.9", "HTTP/1.1\r\nbad"])
def test_no_part_of_a_parsed_head_has_the_key(rest: str) -> None:
    for line in (f"/key/{KEY}/asr", f"http://a/key/{KEY}/asr?encode=false", f"/key/{KEY}/x#y"):
        parser = RequestParser(lambda _: 0, lambda _: None, Adjustments())
        parser.received(f"POST {line} {rest}\r\nX: y\r\n\r\n".encode())
        assert parser.completed
        parts = vars(parser) | {"headers": {**parser.headers, "AUTHORIZATION": ""}}
        assert KEY not in str(parts)


def test_a_client_that_leaves_shows_no_key(stub_models: Path, tmp_path: Path) -> None:
    slow = {"FAKE_SECONDS": "60"}
    with logged(tmp_path, stub_models, "all is logged", **slow) as service:
        with connected(service.server) as wire:
            head = f"POST /key/{service.key}/asr?encode=false HTTP/1.1\r\nHost: x\r\n"
            sizes = f"Content-Type: {FORM}\r\nContent-Length: {len(BODY)}\r\n\r\n"
            wire.send(head.encode(), sizes.encode(), BODY)
            until(lambda: statuses(service) == ["processing"])
        until(lambda: statuses(service) == ["failed"])
        until(lambda: "POST /asr 503" in service.log())
        (found,) = service.user.call("GET", "/transcribe")["transcriptions"]
        assert found["error"] == "The client closed the connection"


def statuses(service: Logged) -> list[str]:
    return [each["status"] for each in service.user.call("GET", "/transcribe")["transcriptions"]]


@pytest.mark.parametrize("fault", ["a route fails", "the database fails"])
def test_a_failure_shows_no_key(stub_models: Path, tmp_path: Path, fault: str) -> None:
    with logged(tmp_path, stub_models, fault) as service:
        answer = service.post(service.key, data=b"")
        assert (answer.status_code, answer.text) == (500, "Internal server error")
        # The key of a large body is checked in the thread that serves all connections.
        with suppress(requests.ConnectionError):
            assert service.post(service.key).status_code == 500
        assert requests.get(f"{service.server.url}/api/v1/health", timeout=10).ok
        assert "Traceback" in service.log() or "disk I/O error" in service.log()
