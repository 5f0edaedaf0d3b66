"""The whole service in a process of its own, with real weights, over HTTP."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
import requests
import srt
import webvtt

from tests.support.database import rows
from tests.support.ffmpeg import run_ffmpeg
from tests.support.harness import start
from tests.support.live import TIMEOUT, Client, LiveServer, start_server
from tests.support.paths import DATA
from tests.support.processes import children, ticks
from tests.support.speech import WORDS, word_error_rate
from tests.support.waiting import until
from whisper_service.config import Config, ModelsSettings, ServerSettings, StorageSettings
from whisper_service.errors import CommandError
from whisper_service.server.server import Server


def test_words_come_back_right_in_three_formats(live_server: LiveServer) -> None:
    client = Client(live_server, "reader")
    formats = ["verbose_json", "srt", "vtt"]
    queued = {name: client.transcribe(client.upload(DATA / name), format=formats) for name in WORDS}
    heard: dict[str, dict[str, str]] = {name: {} for name in formats}
    for name, uuids in queued.items():
        json, subtitles, captions = (client.wait(uuid) for uuid in uuids)
        duration = json["data"]["duration"]
        cues = list(srt.parse(subtitles["data"]["text"]))
        lines = webvtt.from_string(captions["data"]["text"]).captions
        heard["verbose_json"][name] = json["data"]["text"]
        heard["srt"][name] = " ".join(cue.content for cue in cues)
        heard["vtt"][name] = " ".join(line.text for line in lines)
        assert all(cue.content and cue.start < cue.end for cue in cues)
        assert cues[-1].end.total_seconds() <= duration
        assert json["language"] == json["data"]["language"] == "en"
    for texts in heard.values():
        assert word_error_rate(WORDS, texts) <= 0.10


def test_ctrl_c_ends_in_order_and_a_killed_job_runs_again(
    tiny_en_model: Path, tmp_path: Path
) -> None:
    storage = tmp_path / "storage"
    server = start_server(storage, tiny_en_model.parent)
    client = Client(server, "ann")
    talk = tmp_path / "talk.mp3"
    run_ffmpeg("-stream_loop", "2", "-i", DATA / "jfk.wav", talk)
    (uuid,) = client.transcribe(client.upload(talk), format="srt")
    client.wait(uuid, "processing")
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(60) == 0
    assert rows(storage, "SELECT status, attempts FROM transcription") == [("pending", 0)]

    server = start_server(storage, tiny_en_model.parent)
    client.url = f"{server.url}/api/v1"
    client.wait(uuid, "processing")
    server.process.kill()
    server.process.wait()
    assert rows(storage, "SELECT status, attempts FROM transcription") == [("processing", 0)]
    assert rows(storage, "SELECT token_balance FROM user") == [(967,)]

    server = start_server(storage, tiny_en_model.parent)
    client.url = f"{server.url}/api/v1"
    answer = client.wait(uuid)
    assert "country" in answer["data"]["text"]
    assert server.stop() == 0
    assert rows(storage, "SELECT status, attempts FROM transcription") == [("completed", 0)]
    assert rows(storage, "SELECT token_balance FROM user") == [(967,)]
    kinds = rows(storage, "SELECT kind, count(*) FROM ledger GROUP BY kind")
    assert kinds == [("charge", 3), ("grant", 1), ("refund", 2)]


def test_the_engine_dies_with_the_service(tiny_en_model: Path, tmp_path: Path) -> None:
    server = start_server(tmp_path, tiny_en_model.parent)
    client = Client(server, "ann")
    (uuid,) = client.transcribe(client.upload(DATA / "jfk.wav"))
    client.wait(uuid, "processing")
    until(lambda: engines_of(server))
    engines = engines_of(server)
    server.process.kill()
    server.process.wait()
    until(lambda: not any(Path(f"/proc/{engine}").exists() for engine in engines))


def test_a_damaged_model_harms_nothing_else(tiny_en_model: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    os.link(tiny_en_model, models / "ggml-tiny.en.bin")
    with tiny_en_model.open("rb") as file:
        (models / "ggml-cut.bin").write_bytes(file.read(10_000_000))
    server = start_server(tmp_path / "storage", models)
    client = Client(server, "ann")
    uuid = client.upload(DATA / "austen-0880.wav")
    (bad,), (good,) = (client.transcribe(uuid, model=name) for name in ("ggml-cut", "ggml-tiny.en"))
    assert client.wait(bad)["error"] == "The model file is truncated"
    assert "young man" in client.wait(good)["data"]["text"]
    assert client.call("GET", "/user")["token_balance"] == 1000 - 3
    assert server.stop() == 0


def test_a_start_sweeps_what_a_killed_process_left(stub_models: Path, tmp_path: Path) -> None:
    server = start(tmp_path, stub_models)
    client = Client(server, "ann")
    uuid = client.upload(DATA / "austen-0880.wav")
    (transcription,) = client.transcribe(uuid)
    client.wait(transcription)
    assert server.stop() == 0
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    orphan = tmp_path / "files" / ("0" * 32)
    orphan.mkdir()
    unneeded = tmp_path / "files" / uuid / "original"
    temporary, avatar = tmp_path / "tmp" / ("0" * 32), tmp_path / "avatars" / f"{'0' * 32}.png"
    for path in (orphan / "original", unneeded, temporary, avatar):
        path.write_bytes(b"x")
    server = start(tmp_path, stub_models)
    assert server.stop() == 0
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


def test_recordings_without_their_database_are_not_swept(stub_models: Path, tmp_path: Path) -> None:
    recording = tmp_path / "files" / ("0" * 32) / "original"
    recording.parent.mkdir(parents=True)
    recording.write_bytes(b"the only copy")
    config = Config(
        server=ServerSettings(port=0),
        storage=StorageSettings(path=tmp_path),
        models=ModelsSettings(path=stub_models),
    )
    with pytest.raises(CommandError, match="holds recordings, but service.db is missing"):
        Server(config).__enter__()
    assert recording.exists()


@pytest.mark.parametrize("signals", [1, 2])
def test_sigterm_ends_an_idle_service(stub_models: Path, tmp_path: Path, signals: int) -> None:
    server = start_server(tmp_path, stub_models)
    for _ in range(signals):
        server.process.terminate()
    assert server.process.wait(60) in {0, -signal.SIGTERM}


def test_deleting_a_running_job_frees_the_processor(
    live_server: LiveServer, tmp_path: Path
) -> None:
    client = Client(live_server, "deleter")
    run_ffmpeg("-stream_loop", "60", "-i", DATA / "jfk.wav", tmp_path / "talk.mp3")
    file = client.upload(tmp_path / "talk.mp3")
    (uuid,) = client.transcribe(file)
    while client.wait(uuid, "processing")["progress"] == 0:
        time.sleep(0.05)
    client.call("DELETE", f"/transcribe/{uuid}")
    until(lambda: engines_are_idle(live_server), 20)
    # What was transcribed until then is paid: a few chunks at most.
    assert client.call("GET", "/user")["token_balance"] > 1000 - 300
    (next_one,) = client.transcribe(client.upload(DATA / "jfk.wav"))
    assert client.wait(next_one)["status"] == "completed"


def engines_of(server: LiveServer) -> list[int]:
    return children(server.process.pid, "engine_process")


def engines_are_idle(server: LiveServer) -> bool:
    """Return whether no engine uses the processor for a second."""
    before = {pid: ticks(pid) for pid in engines_of(server)}
    time.sleep(1)
    return {pid: ticks(pid) for pid in engines_of(server)} == before


def test_events_come_as_things_happen(live_server: LiveServer, tmp_path: Path) -> None:
    client = Client(live_server, "follower")
    run_ffmpeg("-stream_loop", "5", "-i", DATA / "jfk.wav", tmp_path / "talk.mp3")
    (uuid,) = client.transcribe(client.upload(tmp_path / "talk.mp3"))
    url = f"{client.url}/transcribe/{uuid}/events"
    seen = []
    with requests.get(url, stream=True, timeout=TIMEOUT) as stream:
        for line in stream.iter_lines():
            if line.startswith(b"data: "):
                now = client.call("GET", f"/transcribe/{uuid}")["status"]
                seen.append((json.loads(line.removeprefix(b"data: ")), now))
    answers = [answer for answer, _ in seen]
    assert answers[-1]["status"] == "completed"
    shares = [answer["progress"] for answer in answers if answer["status"] == "processing"]
    assert len(shares) >= 3
    assert shares == sorted(shares)
    assert all(now != "completed" for _, now in seen[:3]), "the events came only at the end"
