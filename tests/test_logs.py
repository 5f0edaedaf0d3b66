"""What the log tells of requests and jobs, and what it keeps to itself."""

import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.engine import FakeEngine
from tests.support.jobs import submit
from tests.support.paths import DATA
from tests.support.service import PASSWORD, Api, Service
from whisper_service import ids, logs
from whisper_service.files import ffmpeg, media, transcoding
from whisper_service.tables import File, Transcription, User
from whisper_service.whisper import engine
from whisper_service.whisper.engine import Engine, EngineCrashed
from whisper_service.whisper.protocol import FindSpeech

PAIR = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|[^ "=]+)(?: |$)')


def parse(line: str) -> dict[str, str]:
    """Read a line of the log back."""
    pairs = PAIR.findall(line)
    assert "".join(f"{name}={value} " for name, value in pairs).strip() == line
    return {name: json.loads(value) if value[0] == '"' else value for name, value in pairs}


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Log as the service does, into memory."""
    root, kept = logging.getLogger(), logging.getLogger().handlers[:]
    level, waitress = root.level, logging.getLogger("waitress").level
    root.handlers.clear()
    logs.set_up()
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    stream = io.StringIO()
    handler.setStream(stream)
    yield stream
    root.handlers[:] = kept
    root.setLevel(level)
    logging.getLogger("waitress").setLevel(waitress)


@given(st.text())
def test_a_record_is_one_line_that_can_be_read_back(text: str) -> None:
    def crash() -> None:
        raise ValueError(text)

    try:
        crash()
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 1, "%s", (text,), sys.exc_info())
    line = logs._Formatter().format(record)
    assert line.isascii()
    assert line.isprintable()
    pairs = parse(line)
    assert pairs["level"] == "error"
    assert pairs.get("message", "") == text
    assert pairs["trace"].startswith("Traceback ")


def test_an_answer_names_the_lines_of_its_request(service: Service, log: io.StringIO) -> None:
    ann = service.register()
    refused = ann.call("POST", "/user/token", expect=400, json={})
    request = refused.headers["X-Request-Id"]
    (line,) = [
        line for line in map(parse, log.getvalue().splitlines()) if line["request"] == request
    ]
    user = User.get().uuid
    expected = rf"POST /api/v1/user/token 400 in \d+ ms by {user[:16]}\.\.\."
    assert re.fullmatch(expected, line["message"])
    assert ann.call("GET", "/user").headers["X-Request-Id"] != request
    before = log.getvalue()
    ann.get("/user")
    assert log.getvalue() == before, "what changes nothing and works is not logged"
    assert logs.request_id.get() == "", "the thread's next words are not the request's"


def test_a_method_of_any_length_is_a_short_line(service: Service, log: io.StringIO) -> None:
    service.anyone.call("X" * 30_000, "/user", expect=405)
    (line,) = log.getvalue().splitlines()
    assert len(line) < 300


def walk(service: Service) -> list[str]:
    """Do all that users do, errors and crashes included. Returns what no log may hold."""
    ann = service.register("ann")
    session = service.anyone.post("/user/login", {"username": "ann", "password": PASSWORD})
    wrong = {"username": "ann", "password": "Wrong-Horse-99"}
    service.anyone.error("POST", "/user/login", 401, wrong)
    key = service.with_key(ann)
    (done,) = submit(service, key)
    service.work()
    uuid = File.get().uuid
    key.get(f"/transcribe/{done}")
    key.call("GET", f"/file/{uuid}")
    key.error("GET", f"/file/{ids.uuid7()}", 404)
    key.error("GET", "/file/%2e%2e/my/secret-folder", 404)
    key.call("PATCH", f"/file/{uuid}", json={"filename": "my-diary.mp3"})
    damaged = damage(service, key)
    crash(service, key)
    key.call("DELETE", f"/file/{uuid}")
    ann.call("DELETE", "/user", json={"password": PASSWORD})
    secrets = [session["session_id"], str(ann.authorization), str(key.authorization)]
    held = [secret.rpartition(" ")[2] for secret in secrets]
    typed = [PASSWORD, "Wrong-Horse-99", "my-diary", "secret-folder", "jfk.wav"]
    return [*held, *typed, uuid, damaged, done]


def damage(service: Service, api: Api) -> str:
    """Have a conversion fail, and another one meet something that nobody thought of."""
    uuid = str(api.upload(DATA / "austen-0880.wav")[0]["uuid"])
    service.storage.original(uuid).write_bytes(b"RIFF")
    service.convert_once()
    uuid = str(api.upload(DATA / "austen-0880.wav")[0]["uuid"])
    service.storage.original(uuid).unlink()
    service.convert_once()
    api.error("GET", f"/file/{uuid}", 404)
    return uuid


def crash(service: Service, api: Api) -> None:
    """Have an engine fail with a secret, and a request with another."""

    def act() -> None:
        raise OSError(2, "No such file", str(service.storage.speech(File.get().uuid)))

    submit(service, api, language="en")
    service.transcribe(FakeEngine(act))
    uuid = File.get().uuid
    wanted, service.storage.converted = (
        service.storage.converted,
        lambda _: Path("/x") / uuid / "\0",
    )  # type: ignore[method-assign]
    api.call("GET", f"/file/{uuid}", expect=500)
    service.storage.converted = wanted  # type: ignore[method-assign]


def test_the_log_holds_nothing_that_opens_anything(service: Service, log: io.StringIO) -> None:
    secrets = walk(service)
    assert all(len(secret) >= 6 for secret in secrets)
    text = log.getvalue()
    for line in text.splitlines():
        assert "time" in parse(line)
    assert [secret for secret in secrets if secret in text] == []
    assert not Transcription.select().exists()
    traces = [line["trace"] for line in map(parse, text.splitlines()) if "trace" in line]
    assert len(traces) >= 3
    assert any(secrets[-3][:16] in trace for trace in traces), (
        "the trace does not show which file it was"
    )


@pytest.mark.torture
def test_the_test_detects_a_logged_secret(
    service: Service, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_ID", re.compile("(nothing)"))
    secrets = walk(service)
    assert [secret for secret in secrets if secret in log.getvalue()]


def test_ffmpegs_messages_are_logged(tmp_path: Path, log: io.StringIO) -> None:
    (tmp_path / "letter").write_text("Dear Ann,\n")
    sound = media.Media("audio/wav", "pcm_s16le", None)
    with pytest.raises(ffmpeg.MediaError):
        transcoding.extract(tmp_path / "letter", sound, tmp_path / "wav", 60, lambda: True)
    (line,) = map(parse, log.getvalue().splitlines())
    assert re.match(r"ffmpeg ended with \d+: .*Invalid data found", line["message"], re.DOTALL)


def test_an_engines_last_messages_are_logged(
    tmp_path: Path, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "import os, sys; sys.stderr.write('GGML_ASSERT failed\\n' * 9999); os.abort()"
    monkeypatch.setattr(engine, "PROGRAM", [sys.executable, "-c", program])
    (tmp_path / "model.bin").touch()
    crashing = Engine()
    with pytest.raises(EngineCrashed, match="ended with -6"):
        crashing.ask(tmp_path / "model.bin", FindSpeech(b""), 20, lambda: True)
    (line,) = log.getvalue().splitlines()
    assert parse(line)["message"].startswith("An engine ended with -6: ")
    assert "GGML_ASSERT failed" in line
    assert len(line) < 2 * engine.MAX_STDERR
