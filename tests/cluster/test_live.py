"""A service and the machines that work for it, each in a process of its own."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.bazarr import Bazarr, samples_of
from tests.support.cluster import LEFT, Cluster, Member, Service
from tests.support.database import rows
from tests.support.fake_engine import BUSY
from tests.support.ffmpeg import run_ffmpeg
from tests.support.harness import seeded, serving
from tests.support.live import Client
from tests.support.paths import DATA, ROOT
from tests.support.processes import children
from tests.support.recordings import as_wav, sound
from tests.support.waiting import until
from whisper_service.audio import FRAME_SAMPLES
from whisper_service.config import DecodeSettings
from whisper_service.whisper.chunking import plan

CLIP = DATA / "austen-0880.wav"
LOCAL_TOO = {"WHISPER_SERVICE_WORKER_JOBS": "1"}
NO_ENGINE = (503, "No engine is connected; transcriptions wait for one")
MINUTE = 60
# The fake engine finds speech all along.
CHUNKS = len(
    plan(
        [1.0] * (MINUTE * 16_000 // FRAME_SAMPLES),
        MINUTE * 16_000,
        DecodeSettings().chunk_seconds,
    )
)
SAID = " ".join(CHUNKS * ["Hello world."])
HANGS = bytes(2 * 12_346)  # the fake engine never answers to this recording
OFF = """
import sys
import threading
from whisper_service.config import Config
from whisper_service.commands import serve
from whisper_service.server import server
assert server._optional_rooms(Config()) == []
names = {"distributed", "dask", "tornado", "cryptography", "whisper_service.cluster"}
print(sorted(names & set(sys.modules)), [each.name for each in threading.enumerate()])
"""


def minute(folder: Path) -> Path:
    path = folder / "minute.wav"
    path.write_bytes(as_wav(sound(seeded(), MINUTE)))
    return path


def hangs(folder: Path) -> Path:
    path = folder / "hangs.wav"
    path.write_bytes(as_wav(HANGS))
    return path


def speech(folder: Path, seconds: float) -> Path:
    path = folder / "speech.wav"
    run_ffmpeg("-stream_loop", "-1", "-i", DATA / "jfk.wav", "-t", str(seconds), path)
    return path


def transcribe(client: Client, path: Path) -> str:
    (uuid,) = client.transcribe(client.upload(path))
    return uuid


def holds_a_chunk(cluster: Cluster, service: Service, path: Path) -> tuple[Client, str, Member]:
    """Let a worker take for ever over one chunk, and another one do all the others."""
    slow = cluster.start_worker("slow", FAKE_SECONDS="600")
    client = Client(service.server, "ann")
    uuid = transcribe(client, path)
    until(lambda: transcribing(slow))
    cluster.start_worker("other", "127.0.0.3")
    until(lambda: checkpoints(service.server.storage) == CHUNKS - 1)
    return client, uuid, slow


def completed(client: Client, uuid: str) -> Any:
    answer = client.wait(uuid)
    assert answer["status"] == "completed", answer
    return answer["data"]


def checkpoints(storage: Path) -> int:
    return len(rows(storage, "SELECT 1 FROM checkpoint"))


def charged(storage: Path) -> list[int]:
    """Return what was charged, each time; what was given back is there as well."""
    return [amount for (amount,) in rows(storage, "SELECT amount FROM ledger WHERE amount < 1000")]


def without_cluster(folder: Path, models: Path, path: Path) -> Any:
    """Return what a service without a cluster makes of a recording."""
    with serving(folder, models, fake=False, **LOCAL_TOO) as server:
        client = Client(server, "ann")
        return completed(client, transcribe(client, path))


def transcribing(member: Member) -> list[int]:
    """Return the fake engines of a process that transcribe now."""
    return [pid for pid in children(member.process.pid, "fake_engine") if name(pid) == BUSY]


def name(pid: int) -> str:
    """Return the name of a process, or of one that has just ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def test_a_worker_without_models_does_all_that_an_engine_here_does(
    real_cluster: Cluster, tiny_en_model: Path, tmp_path: Path
) -> None:
    path = speech(tmp_path, 25)
    expected = without_cluster(tmp_path / "other", tiny_en_model.parent, path)
    real_cluster.start_scheduler()
    service = real_cluster.start_service(tiny_en_model.parent)
    assert service.health() == NO_ENGINE
    client = Client(service.server, "ann")
    uuid = transcribe(client, path)
    worker = real_cluster.start_worker()
    service.wait_for_engines()
    assert completed(client, uuid) == expected
    (model,) = worker.received()
    assert (worker.models / "cluster" / model).read_bytes() == tiny_en_model.read_bytes()
    assert worker.stop() == 0
    until(lambda: service.health() == NO_ENGINE)
    assert service.server.stop() == 0


def test_a_worker_that_is_killed_costs_nobody_anything(
    cluster: Cluster, stub_models: Path, tmp_path: Path
) -> None:
    cluster.start_scheduler()
    service = cluster.start_service(stub_models)
    client, uuid, killed = holds_a_chunk(cluster, service, minute(tmp_path))
    assert client.call("GET", f"/transcribe/{uuid}")["status"] == "processing"
    killed.kill()
    assert completed(client, uuid)["text"] == SAID
    assert service.metric("whisper_tasks_again_total") == 1
    assert charged(service.server.storage) == [-MINUTE]


def test_a_worker_that_falls_silent_is_lost_until_it_is_heard_again(
    cluster: Cluster, stub_models: Path, tmp_path: Path
) -> None:
    cluster.start_scheduler()
    service = cluster.start_service(stub_models)
    client, uuid, silent = holds_a_chunk(cluster, service, minute(tmp_path))
    silent.process.send_signal(signal.SIGSTOP)
    try:
        assert completed(client, uuid)["text"] == SAID
    finally:
        silent.process.send_signal(signal.SIGCONT)
    assert service.member.said(LEFT) == 1
    service.wait_until_joined(3)  # all together
    until(lambda: not transcribing(silent))
    assert service.metric("whisper_tasks_again_total") == 1
    assert charged(service.server.storage) == [-MINUTE]


def test_a_scheduler_that_is_killed_takes_nothing_with_it(
    cluster: Cluster, stub_models: Path, tmp_path: Path
) -> None:
    scheduler = cluster.start_scheduler()
    service = cluster.start_service(stub_models, **LOCAL_TOO)
    client = Client(service.server, "ann")
    # The engine here is busy until the other one has a part of the next recording.
    hanging = transcribe(client, hangs(tmp_path))
    until(lambda: transcribing(service.member))
    worker = cluster.start_worker(FAKE_SECONDS="600")
    uuid = transcribe(client, minute(tmp_path))
    client.wait(uuid, "processing")
    until(lambda: transcribing(worker))
    client.call("DELETE", f"/transcribe/{hanging}")
    until(lambda: checkpoints(service.server.storage) == CHUNKS - 1)
    scheduler.kill()
    assert completed(client, uuid)["text"] == SAID
    assert service.metric("whisper_tasks_again_total") >= 1
    service.member.wait_for(LEFT)
    assert service.health()[0] == 200
    assert completed(client, transcribe(client, CLIP))["text"] == "Hello world."
    cluster.start_scheduler()
    worker.wait_for(f"engines joined {cluster.url}", 2)
    service.wait_until_joined(2)


def test_after_the_scheduler_is_back_its_engines_work(cluster: Cluster, stub_models: Path) -> None:
    scheduler = cluster.start_scheduler()
    cluster.start_worker()
    service = cluster.start_service(stub_models)
    service.wait_for_engines()
    scheduler.kill()
    until(lambda: service.health() == NO_ENGINE)
    client = Client(service.server, "ann")
    uuid = transcribe(client, CLIP)
    cluster.start_scheduler()
    assert completed(client, uuid)["text"] == "Hello world."
    assert service.server.stop() == 0


def test_a_service_starts_before_its_scheduler(cluster: Cluster, stub_models: Path) -> None:
    service = cluster.start_service(stub_models)
    assert service.health() == NO_ENGINE
    cluster.start_scheduler()
    cluster.start_worker()
    service.wait_for_engines()
    assert service.server.stop() == 0


def test_a_deletion_frees_the_engine_elsewhere(
    cluster: Cluster, stub_models: Path, tmp_path: Path
) -> None:
    cluster.start_scheduler()
    worker = cluster.start_worker()
    service = cluster.start_service(stub_models)
    service.wait_for_engines()
    client = Client(service.server, "ann")
    uuid = transcribe(client, hangs(tmp_path))
    until(lambda: transcribing(worker))
    client.call("DELETE", f"/transcribe/{uuid}")
    until(lambda: not transcribing(worker), 20)
    assert completed(client, transcribe(client, CLIP))["text"] == "Hello world."


@pytest.mark.parametrize("ends", ["worker", "service"])
def test_a_busy_one_can_be_stopped(
    cluster: Cluster, stub_models: Path, tmp_path: Path, ends: str
) -> None:
    cluster.start_scheduler()
    worker = cluster.start_worker(FAKE_SECONDS="600")
    service = cluster.start_service(stub_models)
    service.wait_for_engines()
    client = Client(service.server, "ann")
    uuid = transcribe(client, CLIP)
    until(lambda: transcribing(worker))
    client.wait(uuid, "processing")
    if ends == "worker":
        assert worker.stop() == 0
        until(lambda: service.health() == NO_ENGINE)
        assert client.call("GET", f"/transcribe/{uuid}")["status"] == "processing"
    else:
        assert service.server.stop() == 0
        assert rows(service.server.storage, "SELECT status FROM transcription") == [("pending",)]
        until(lambda: not transcribing(worker))


def test_a_language_is_detected_by_engines_elsewhere(cluster: Cluster, stub_models: Path) -> None:
    cluster.start_scheduler()
    cluster.start_worker()
    service = cluster.start_service(stub_models, WHISPER_SERVICE_MODELS_DEFAULT="ggml-tiny.en")
    service.wait_for_engines()
    client = Client(service.server, "ann")
    bazarr = Bazarr(service.server.url)
    bazarr.session.headers["Authorization"] = client.headers["Authorization"]
    assert bazarr.detect(samples_of(CLIP)) == ("cy", "welsh")
    bazarr.session.close()


def test_nothing_of_it_is_imported_while_it_is_off() -> None:
    command = [sys.executable, "-c", OFF]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "[] ['MainThread']\n"
