"""What the service adds to the engine, and what it keeps free for others while it transcribes."""

import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import recordings
from benchmarks.recordings import Recording
from benchmarks.report import print_ratio
from benchmarks.service import Client
from whisper_service.config import EngineSettings
from whisper_service.files import transcoding
from whisper_service.jobs.job import Job
from whisper_service.jobs.run import Run
from whisper_service.models import catalog
from whisper_service.transcript_key import TranscriptKey
from whisper_service.whisper.engine import Engine
from whisper_service.whisper.native import library

HOUR = 3600
POLL_SECONDS = 5
HELLO = """
from flask import Flask
from waitress import create_server
app = Flask("hello")
app.get("/")(lambda: "hello")
server = create_server(app, port=0, threads=8)
print(f"http://127.0.0.1:{server.effective_port}", flush=True)
server.run()
"""


def overhead(url: str, native: str, path: Path, folder: Path, pairs: int) -> None:
    """Time jobs from POST to `completed`, against engines that get the same WAV directly.

    `native` is the setting of the service, `path` that of the model.
    """
    recording = recordings.dense(folder)
    user = Client(url, "overhead")
    file = user.upload(recording.path)
    environment = partial(library.environment, EngineSettings(native))
    engines = [Engine(environment) for _ in range(os.cpu_count() or 1)]
    try:
        _engines_alone(engines, path, recording)
        user.transcribe(file, path.stem)
        rows = []
        for _ in range(pairs):
            alone = _engines_alone(engines, path, recording)
            rows.append((user.transcribe(file, path.stem)[0], alone))
    finally:
        for engine in engines:
            engine.close()
    print_ratio("service over engine, dense", rows, "1.03 + 0.1 s")


def _engines_alone(engines: list[Engine], model: Path, recording: Recording) -> float:
    started = time.perf_counter()
    job = Job("", 0, TranscriptKey("", "", "", "en", ""), transcoding.count_samples(recording.path))
    known = catalog.find(model.parent, model.stem)
    run, turn = Run(job, known, "en", 14, {}), threading.Condition()
    run.engines = len(engines)

    def work(engine: Engine) -> None:
        while True:
            with turn:
                turn.wait_for(lambda: run.ready or run.is_complete)
                if run.is_complete:
                    return
                task = run.next_task()
            answer = engine.ask(
                model, task.request(recording.path, run.language, 1), HOUR, lambda: True
            )
            with turn:
                run.complete(task, answer)
                if run.needs_plan:
                    run.begin(run.plan())
                turn.notify_all()

    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(work, engine) for engine in engines]:
            done.result()
    run.transcript()
    return time.perf_counter() - started


def beside(url: str, model: str, folder: Path, pairs: int) -> None:
    """Somebody's clip of 11 s, on an idle machine and while another's hour is transcribed."""
    other, user = Client(url, "hour"), Client(url, "clip")
    (clip,) = [each for each in recordings.clips(folder) if each.name == "jfk"]
    file = user.upload(clip.path)
    user.transcribe(file, model)
    idle = [user.transcribe(file, model)[0] for _ in range(pairs)]
    with _busy(other, model, recordings.long(folder, recordings.dense(folder), HOUR)):
        busy = [user.transcribe(file, model)[0] for _ in range(pairs)]
    print_ratio("11 s clip beside a 1-hour file", list(zip(busy, idle, strict=True)), "3")


def polls(url: str, model: str, folder: Path, pairs: int) -> None:
    """Status requests a second while all cores transcribe, against a bare Flask on waitress."""
    user = Client(url, "poll")
    hello = subprocess.Popen([sys.executable, "-c", HELLO], stdout=subprocess.PIPE, text=True)
    assert hello.stdout
    bare = hello.stdout.readline().strip() + "/"
    try:
        with _busy(user, model, recordings.long(folder, recordings.dense(folder), HOUR)) as uuid:
            status = f"{url}/api/v1/transcribe/{uuid}"
            rows = [(_rate(status), _rate(bare)) for _ in range(pairs)]
    finally:
        hello.kill()
        hello.communicate()
    print_ratio("status requests while busy, over a bare Flask", rows, "at least 0.7", "/s")


def _rate(url: str) -> float:
    parts = urlsplit(url)

    def ask(until: float) -> int:
        connection = http.client.HTTPConnection(parts.netloc)
        count = 0
        while time.monotonic() < until:
            connection.request("GET", parts.path)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            count += 1
        connection.close()
        return count

    with ThreadPoolExecutor(4) as pool:
        return sum(pool.map(ask, [time.monotonic() + POLL_SECONDS] * 4)) / POLL_SECONDS


@contextmanager
def _busy(user: Client, model: str, recording: Recording) -> Iterator[str]:
    """Keep every engine busy with a recording, meanwhile."""
    file = user.upload(recording.path)
    (uuid,) = user.order(file, model, ["srt"])
    while user.call("GET", f"/transcribe/{uuid}")["status"] == "pending":
        time.sleep(0.1)
    time.sleep(10)  # until its speech is found
    try:
        yield uuid
    finally:
        assert user.call("GET", f"/transcribe/{uuid}")["status"] == "processing"
        user.call("DELETE", f"/file/{file}")
