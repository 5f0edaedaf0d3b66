"""What the service adds to the engine, and what it keeps free for others while it transcribes."""

import http.client
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from blake3 import blake3

from benchmarks import recordings
from benchmarks.recordings import Recording
from benchmarks.service import Client, running
from tests.support.large_database import LARGE, LIKE, PER_USER, SMALL, fill, uuid
from tests.support.paths import DATA
from tests.support.service import Api
from whisper_service import config, db
from whisper_service.config import Config
from whisper_service.files import transcoding
from whisper_service.files.storage import Storage
from whisper_service.jobs import outcomes, queue
from whisper_service.jobs.job import Job
from whisper_service.jobs.run import Run
from whisper_service.jobs.worker import Worker
from whisper_service.transcript_key import TranscriptKey
from whisper_service.web import create_app
from whisper_service.web.services import Services
from whisper_service.whisper.engine import Engine

HOUR = 3600
GIB = 1024**3
PIECE = 1024**2
POLL_SECONDS = 5
REPEATS = 200
HELLO = """
from flask import Flask
from waitress import create_server
app = Flask("hello")
app.get("/")(lambda: "hello")
server = create_server(app, port=0, threads=8)
print(f"http://127.0.0.1:{server.effective_port}", flush=True)
server.run()
"""


def overhead(url: str, models: Path, model: str, folder: Path, pairs: int) -> None:
    """Time jobs from POST to `completed`, against engines that get the same WAV directly."""
    recording = recordings.dense(folder)
    user = Client(url, "overhead")
    file = user.upload(recording.path)
    path = models / f"{model}.bin"
    engines = [Engine() for _ in range(os.cpu_count() or 1)]
    try:
        _engines_alone(engines, path, recording)
        user.transcribe(file, model)
        rows = []
        for _ in range(pairs):
            alone = _engines_alone(engines, path, recording)
            rows.append((user.transcribe(file, model)[0], alone))
    finally:
        for engine in engines:
            engine.close()
    _ratio("service over engine, dense", rows, "1.03 + 0.1 s")


def _engines_alone(engines: list[Engine], model: Path, recording: Recording) -> float:
    started = time.perf_counter()
    job = Job("", 0, TranscriptKey("", "", "", "en", ""), transcoding.count_samples(recording.path))
    run, turn = Run(job, "en", 14, {}, len(engines)), threading.Condition()

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
    _ratio("11 s clip beside a 1-hour file", list(zip(busy, idle, strict=True)), "3")


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
    _ratio("status requests while busy, over a bare Flask", rows, "at least 0.7", "/s")


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


def memory(models: Path, model: str, folder: Path) -> None:
    """Peak memory of the service with its engines: three hours against three minutes."""
    peaks = []
    for seconds in (180, 3 * HOUR):
        recording = recordings.long(folder, recordings.dense(folder), seconds)
        with running(folder / f"memory-{seconds}", models) as server:
            user = Client(server.url, "memory")
            file = user.upload(recording.path)
            (uuid,) = user.order(file, model, ["verbose_json"])
            user.wait(uuid)
            peaks.append(sum(_peak(pid) for pid in _family(server.process.pid)) / 1024)
    _ratio("memory, 3 hours over 3 minutes", [(peaks[1], peaks[0])], "1.1", " MiB")


def _family(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").iterdir()
    children = [child for one in threads for child in (one / "children").read_text().split()]
    return [pid, *map(int, children)]


def _peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def uploads(url: str, folder: Path, pairs: int) -> None:
    """Time an upload of 1 GiB against copying the file and hashing the copy."""
    source = folder / "noise.wav"
    jfk = (DATA / "jfk.wav").read_bytes()
    noise = os.urandom(PIECE)
    rows = []
    user = Client(url, "upload")
    for number in range(pairs):
        with source.open("wb") as file:
            file.write(jfk[:44] + number.to_bytes(4, "little"))
            for _ in range(GIB // PIECE):
                file.write(noise)
        rows.append((_seconds(lambda: _send(user, source)), _seconds(lambda: _copy(source))))
        for each in user.call("GET", "/file")["files"]:
            user.call("DELETE", f"/file/{each['uuid']}")
    _ratio("upload of 1 GiB over cp and b3sum", rows, "3")


def _send(user: Client, source: Path) -> None:
    parts = urlsplit(user.url)
    head = b'--b\r\nContent-Disposition: form-data; name="f"; filename="noise.wav"\r\n\r\n'
    end = b"\r\n--b--\r\n"
    connection = http.client.HTTPConnection(parts.netloc)
    connection.putrequest("POST", f"{parts.path}/file")
    connection.putheader("Authorization", str(user.session.headers["Authorization"]))
    connection.putheader("Content-Type", "multipart/form-data; boundary=b")
    connection.putheader("Content-Length", str(len(head) + source.stat().st_size + len(end)))
    connection.endheaders(head)
    with source.open("rb") as file:
        connection.sock.sendfile(file)
    connection.send(end)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    connection.close()


def _copy(source: Path) -> None:
    target = source.with_suffix(".copy")
    subprocess.run(["/bin/cp", source, target], check=True)
    blake3(max_threads=1).update_mmap(target).hexdigest()
    target.unlink()


def rows(folder: Path, pairs: int) -> None:
    """List, poll and claim among 100,000 transcriptions, against 1,000."""
    databases = {folder / "rows-large": (LARGE, 1 + LIKE), folder / "rows-small": (SMALL, 1)}
    for root, (count, _) in databases.items():
        with _opened(root):
            fill(range(1, count + 1))
            db.database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[no-untyped-call]
    timed = [
        [_operations(root, user) for root, (_, user) in databases.items()] for _ in range(pairs)
    ]
    for name in timed[0][0]:
        row = [(large[name], small[name]) for large, small in timed]
        _ratio(f"{name}, 100,000 over 1,000", row, "1.2", " ms")


@contextmanager
def _opened(root: Path) -> Iterator[Storage]:
    storage = Storage(root)
    db.open_database(storage.database)
    try:
        yield storage
    finally:
        db.database.close()


def _operations(root: Path, user: int) -> dict[str, float]:
    """Time what a user does, in milliseconds."""
    settings = Config(
        storage=config.StorageSettings(path=root), auth=config.AuthSettings(bcrypt_cost=4)
    )
    with _opened(root) as storage:
        app = create_app(Services(settings, storage, Worker(settings, storage)))
        api = Api(app.test_client(), f"Basic {uuid('session', user * 3)}")
        poll = f"/transcribe/{uuid('transcription', user * PER_USER - 3)}"

        def claim() -> None:
            job = queue.claim_next(user + 3)
            assert job
            outcomes.put_back(job)

        work = {"list": lambda: api.get("/file"), "poll": lambda: api.get(poll), "claim": claim}
        for one in work.values():
            one()
        return {name: _mean(one) for name, one in work.items()}


def _mean(work: Callable[[], object]) -> float:
    return _seconds(lambda: [work() for _ in range(REPEATS)]) / REPEATS * 1000


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _ratio(title: str, rows: list[tuple[float, float]], goal: str, unit: str = " s") -> None:
    """Print the median of the ratios, with half their range, and the medians of both sides."""
    ratios = [first / second for first, second in rows]
    cells = [f"{statistics.median(ratios):.2f} ± {(max(ratios) - min(ratios)) / 2:.2f}"]
    for side in zip(*rows, strict=True):
        noise = (max(side) - min(side)) / 2
        cells.append(f"{statistics.median(side):.2f} ± {noise:.2f}{unit}")
    print(f"| {title} | {' | '.join(cells)} | {goal} |", flush=True)
