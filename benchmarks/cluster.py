"""A cluster on this machine: against engines of the service's own, and with many simulated ones."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import requests

from benchmarks import recordings
from benchmarks.report import print_ratio
from benchmarks.service import Client
from tests.support.live import LiveServer, start_server
from tests.support.paths import ROOT
from whisper_service.audio import SAMPLE_RATE

URL = "tcp://127.0.0.1:{}"
HOUR = 3600
CHUNK_SECONDS = 16  # of dense speech, by and large
SLOTS, ENGINES_PER_PROCESS = (16, 64, 128, 256), 32
# How long an engine on one core takes for a second of audio, with ggml-base.
SECONDS_PER_SECOND = 0.2
WARM_SECONDS, WINDOW_SECONDS = 15, 40
ORDERS = 60  # of the same hour, with different prompts


def compare(models: Path, model: str, native: str, folder: Path, pairs: int) -> None:
    """Time a service with two workers of one engine each, against one with two engines."""
    recording = recordings.dense(folder)
    with ExitStack() as stack:
        url = stack.enter_context(scheduler())
        command = [sys.executable, "-m", "whisper_service.cluster.worker", url]
        settings = {
            "WHISPER_SERVICE_MODELS_PATH": str(models),
            "WHISPER_SERVICE_ENGINE_NATIVE": native,
        }
        for _ in range(2):
            # Each is a machine with half of the cores.
            half = {"WHISPER_SERVICE_WORKER_JOBS": "1", "WHISPER_SERVICE_WORKER_THREADS": "1"}
            stack.enter_context(program(command, **half, **settings))
        away = stack.enter_context(service(folder / "away", url, **settings))
        here = stack.enter_context(
            service(folder / "here", "", WHISPER_SERVICE_WORKER_JOBS="2", **settings)
        )
        wait_for_engines(away, 2)
        sides = [Client(server.url, "cluster") for server in (away, here)]
        files = [side.upload(recording.path) for side in sides]
        for side, file in zip(sides, files, strict=True):
            side.transcribe(file, model)
        rows = []
        for _ in range(pairs):
            first, second = (
                side.transcribe(file, model)[0] for side, file in zip(sides, files, strict=True)
            )
            rows.append((first, second))
        results = [segments(side, file, model) for side, file in zip(sides, files, strict=True)]
    print_ratio("two engines of a cluster over two here, dense", rows, "1.10")
    chunks = recording.path.stat().st_size / 2 / SAMPLE_RATE / CHUNK_SECONDS
    overhead = sorted(2 * (first - second) / chunks for first, second in rows)[len(rows) // 2]
    print(f"| the same segments: {results[0] == results[1]}; {1000 * overhead:.0f} ms a chunk |")


def segments(user: Client, file: str, model: str) -> object:
    (uuid,) = user.order(file, model, ["verbose_json"])
    found = user.wait(uuid)["data"]["segments"]
    user.call("DELETE", f"/transcribe/{uuid}")
    return found


def simulate(models: Path, model: str, folder: Path) -> None:
    """How busy a service keeps engines that only sleep, and what it takes itself."""
    print("\n| engines | busy | chunks/s | service, cores | its memory | scheduler | workers |")
    print("| --- " * 7 + "|", flush=True)
    hour = recordings.long(folder, recordings.dense(folder), HOUR)
    for slots in SLOTS:
        with tempfile.TemporaryDirectory(dir=folder) as name:
            _simulate(slots, models, model, Path(name), hour.path)


def _simulate(slots: int, models: Path, model: str, folder: Path, hour: Path) -> None:
    per_process = min(slots, ENGINES_PER_PROCESS)
    log = folder / "slept"
    log.touch()
    settings = {"WHISPER_SERVICE_MODELS_PATH": str(models), "WHISPER_SERVICE_ENGINE_NATIVE": "off"}
    with ExitStack() as stack:
        url = stack.enter_context(scheduler())
        command = [sys.executable, "-m", "benchmarks.sleeping_worker", url]
        command += [str(per_process), str(SECONDS_PER_SECOND), str(log)]
        for _ in range(slots // per_process):
            stack.enter_context(program(command, **settings))
        server = stack.enter_context(service(folder / "storage", url, **settings))
        wait_for_engines(server, slots)
        user = Client(server.url, "scale")
        file = user.upload(hour)
        for number in range(ORDERS):
            body = {"uuid": file, "model": model, "language": "en", "prompt": str(number)}
            user.call("POST", "/transcribe", json=body)
        time.sleep(WARM_SECONDS)
        report(slots, log, psutil.Process(server.process.pid))


def report(slots: int, log: Path, server: psutil.Process) -> None:
    groups = [[server], processes_of("scheduler"), processes_of("sleeping_worker")]
    began, used = time.time(), [cpu(group) for group in groups]
    time.sleep(WINDOW_SECONDS)
    ended = time.time()
    cores = [
        (cpu(group) - before) / (ended - began) for group, before in zip(groups, used, strict=True)
    ]
    slept = chunks = 0.0
    for line in log.read_text().splitlines():
        end, seconds = map(float, line.split())
        slept += max(0.0, min(end, ended) - max(end - seconds, began))
        chunks += began <= end <= ended
    busy = slept / slots / (ended - began)
    memory = server.memory_info().rss / 1024**2
    rate = chunks / (ended - began)
    cells = f"{busy:.0%} | {rate:.1f} | {cores[0]:.2f} | {memory:.0f} MiB"
    print(f"| {slots} | {cells} | {cores[1]:.2f} | {cores[2]:.2f} |", flush=True)


def cpu(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(float(each.user + each.system) for each in times)


def processes_of(module: str) -> list[psutil.Process]:
    """Return the processes that this one started to run a module, by the end of its name."""
    children = psutil.Process().children()
    return [
        each for each in children if any(word.endswith(f".{module}") for word in each.cmdline())
    ]


def wait_for_engines(server: LiveServer, number: int) -> None:
    """Wait until so many engines have joined."""
    while True:
        text = requests.get(f"{server.url}/metrics", timeout=60).text
        lines = [line for line in text.splitlines() if line.startswith("whisper_engines{")]
        if sum(float(line.split()[-1]) for line in lines) >= number:
            return
        time.sleep(0.5)


@contextmanager
def service(storage: Path, scheduler: str, **environ: str) -> Iterator[LiveServer]:
    settings = {
        "WHISPER_SERVICE_BILLING_INITIAL_TOKEN_BALANCE": str(10**12),
        "WHISPER_SERVICE_CLUSTER_SCHEDULER": scheduler,
        **environ,
    }
    models = Path(settings.pop("WHISPER_SERVICE_MODELS_PATH"))
    server = start_server(storage, models, **settings)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def scheduler() -> Iterator[str]:
    """Run a scheduler; yield its URL."""
    url = URL.format(20_000 + os.getpid() % 10_000 + int(time.time()) % 5000)
    with program([sys.executable, "-m", "whisper_service.cluster.scheduler", url]):
        yield url


@contextmanager
def program(command: list[str], **environ: str) -> Iterator[None]:
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environ})
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)
