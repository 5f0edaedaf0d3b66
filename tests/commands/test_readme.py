"""What the README tells people to type works."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.live import Client, LiveServer, measured, served, start_server
from tests.support.paths import DATA, ROOT
from tests.support.ports import free_port
from tests.support.readme import README, block
from tests.support.service import PASSWORD
from tests.support.webhooks import ON


def fit(code: str, server: LiveServer) -> str:
    assert "http://127.0.0.1:8080" in code
    assert "ggml-base" in code
    return code.replace("http://127.0.0.1:8080", server.url).replace("ggml-base", "ggml-tiny.en")


def run(*command: str, code: str, **environ: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command,
        input=code,
        cwd=ROOT,
        env={"PATH": path, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_without_a_server(tiny_en_model: Path, tmp_path: Path) -> None:
    program = f"make -o .venv/run BIN={Path(sys.executable).parent} "
    code = block("Without a server", "sh").replace("make ", program)
    environ = {
        "HOME": str(tmp_path),
        "WHISPER_SERVICE_MODELS_PATH": str(tiny_en_model.parent),
        "WHISPER_SERVICE_ENGINE_NATIVE": "off",
    }
    printed = run("bash", "-e", code=code, **environ)
    assert f"{tmp_path}/speech.srt, {tmp_path}/speech.txt  0:11 of audio in " in printed
    assert " --> 00:00:" in printed
    assert "what you can do for your country" in (tmp_path / "speech.txt").read_text()


def test_the_curl_walk(live_server: LiveServer) -> None:
    printed = run("bash", "-e", code=fit(block("A walk with curl", "sh"), live_server))
    assert printed.lower().count("ask what you can do for your country") == 3
    assert "00:00:0" in printed
    assert "WEBVTT" in printed


def test_more_of_it_goes_on_where_the_walk_ended(live_server: LiveServer) -> None:
    account = str(time.time_ns())[-16:]
    walk = fit(block("A walk with curl", "sh"), live_server).replace('"ann"', f'"{account}"')
    more = block("More of it", "sh")
    key = run("bash", "-e", code=f"{walk}\n{more}\necho; echo $KEY").split()[-1]
    code = block("OpenAI's clients", "python").replace("whisper-1", "ggml-tiny.en")
    code = code.replace("http://127.0.0.1:8080", live_server.url).replace("<API key>", key)
    printed = run(sys.executable, "-", code=code).lower()
    assert printed.count("what you can do for your country") == 2


def test_a_large_file_in_pieces(live_server: LiveServer) -> None:
    account = str(time.time_ns())[-16:]
    walk = fit(block("A walk with curl", "sh"), live_server).replace('"ann"', f'"{account}"')
    start, _, _ = walk.partition("# A recording.")
    code = f"{start}\n{block('Large files', 'sh')}\necho $OFFSET"
    printed = run("bash", "-e", code=code)
    assert "'File uploaded successfully'" in printed
    assert printed.split()[-1] == "100000"


def test_the_programs_for_another_service(tiny_en_model: Path, tmp_path: Path) -> None:
    default = {"WHISPER_SERVICE_MODELS_DEFAULT": "ggml-tiny.en"}
    server = start_server(tmp_path, tiny_en_model.parent, **default)
    key = Client(server, "ann").headers["Authorization"].removeprefix("Bearer ")
    code = block("Bazarr and others", "sh").replace("http://127.0.0.1:8080", server.url)
    subtitles, _, language = run("bash", "-e", code=f"KEY={key}\n{code}").rpartition("\n{")
    assert subtitles.startswith("1\n00:00:0")
    assert '"language_code":"en"' in language
    assert server.stop() == 0


def test_the_python_example(live_server: LiveServer) -> None:
    printed = run(sys.executable, "-", code=fit(block("The same in Python", "python"), live_server))
    assert printed.startswith("1\n00:00:0")
    assert "ask what you can do for your country" in printed.lower()


@pytest.fixture
def with_webhooks(tmp_path: Path, tiny_en_model: Path) -> Iterator[LiveServer]:
    yield from served(start_server(tmp_path, tiny_en_model.parent, **ON, **measured()))


def test_the_webhooks(with_webhooks: LiveServer) -> None:
    server, port = with_webhooks, str(free_port())
    walk = fit(block("A walk with curl", "sh"), server)
    create = block("Webhooks", "sh").replace("9000", port)
    printed = run("bash", "-e", code=f"{walk}\n{create}\necho $KEY $FILE").splitlines()
    secret, (key, file) = json.loads(printed[-2])["secret"], printed[-1].split()
    order = {"uuid": file, "model": "ggml-tiny.en", "language": "en"}
    headers = {"Authorization": f"Bearer {key}"}
    url = f"{server.url}/api/v1/transcribe"
    queued = requests.post(url, json=order, headers=headers, timeout=10).json()["transcriptions"]
    code = block("Webhooks", "python").replace("9000", port).replace("<secret>", secret)
    receiver = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    with receiver:
        assert receiver.stdout
        assert receiver.stdout.readline() == f"transcription.completed {queued[0]['uuid']}\n"
        receiver.kill()


def test_the_references_own_example(live_server: LiveServer) -> None:
    account = {"username": "reference", "password": PASSWORD}
    url = f"{live_server.url}/api/v1"
    session = requests.post(f"{url}/user/register", json=account, timeout=10).json()["session_id"]
    headers = {"Authorization": f"Basic {session}"}
    key = requests.post(f"{url}/user/token", json={"name": "k"}, headers=headers, timeout=10)
    code = (DATA / "reference_client.py.txt").read_text()
    for theirs, ours in (
        ("https://api.whisper.aspicho.me/api/v1", url),
        ("your-api-key-here", key.json()["token"]),
        ("audio.mp3", str(DATA / "jfk.wav")),
        ("ggml-base.en", "ggml-tiny.en"),
        ("time.sleep(5)", "time.sleep(0.2)"),
    ):
        assert theirs in code
        code = code.replace(theirs, ours)
    printed = run(sys.executable, "-", code=code)
    assert "Status: completed\nTranscription: and so" in printed.replace("And", "and")


def test_the_map_of_the_house_names_every_room() -> None:
    inside = README.split("## Inside\n", 1)[1]
    for path in (ROOT / "whisper_service").glob("*"):
        if path.suffix == ".py" and path.name != "__init__.py":
            assert path.name in inside, path.name
        elif path.is_dir() and path.name != "__pycache__":
            assert f"{path.name}/" in inside
