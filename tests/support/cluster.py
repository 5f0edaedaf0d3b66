"""A cluster on this machine: a scheduler, workers and a service in processes of their own."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from tests.support.harness import program
from tests.support.live import LiveServer, measured, start_server
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.waiting import until

FAKE = "tests.support.cluster_program"
STOP_SECONDS = 30
# What the service's log says of the workers.
JOINED, LEFT = r"tcp://\S+ joined", r"tcp://\S+ left"


@dataclass
class Member:
    """A process with a log, which it appends to."""

    process: "subprocess.Popen[str]"
    log: Path
    models: Path

    def said(self, pattern: str) -> int:
        """Return how many lines of the log match a pattern."""
        lines = self.log.read_text().splitlines()
        return sum(re.search(pattern, line) is not None for line in lines)

    def wait_for(self, pattern: str, times: int = 1) -> None:
        def check() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            return self.said(pattern) >= times

        until(check)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(STOP_SECONDS)

    def received(self) -> list[str]:
        """Return the names of the models that the service sent, and of those on their way."""
        return sorted(path.name for path in (self.models / "cluster").iterdir())


@dataclass
class Cluster:
    """Members of a cluster, with what they keep below a folder. `fake` gives them fake engines."""

    folder: Path
    fake: bool = True
    environ: dict[str, str] = field(default_factory=dict)
    scheme: str = "tcp"

    def __post_init__(self) -> None:
        self.url = f"{self.scheme}://127.0.0.1:{free_port()}"
        self._stack = ExitStack()

    def close(self) -> None:
        self._stack.close()

    def start_scheduler(self) -> Member:
        """Start a scheduler, again at the same address, and wait until it listens."""
        scheduler = self._start("scheduler", self.url)
        scheduler.wait_for("The scheduler listens on")
        return scheduler

    def start_worker(
        self,
        name: str = "worker",
        host: str = "127.0.0.2",
        *,
        waits_for: str = "engines joined",
        **environ: str,
    ) -> Member:
        """Start a worker with one engine and an empty folder of models; wait until it joined."""
        worker = self._start("worker", self.url, "--host", host, name=name, **environ)
        worker.wait_for(waits_for)
        return worker

    def start_service(self, models: Path, **environ: str) -> "Service":
        log = self.folder / "service.log"
        with log.open("ab") as stderr:
            server = start_server(
                self.folder / "storage",
                models,
                program=program(fake=self.fake),
                stderr=stderr,
                WHISPER_SERVICE_CLUSTER_SCHEDULER=self.url,
                **measured(),
                **self.environ,
                **environ,
            )
        self._stack.callback(_end, server.process)
        return Service(server, Member(server.process, log, models))

    def _start(self, kind: str, *arguments: str, name: str = "", **environ: str) -> Member:
        log, models = self.folder / f"{name or kind}.log", self.folder / f"{name or kind}-models"
        models.mkdir(exist_ok=True)
        variables = {
            "PATH": "/usr/bin:/bin",
            "TMPDIR": str(self.folder),
            "WHISPER_SERVICE_MODELS_PATH": str(models),
            "WHISPER_SERVICE_ENGINE_NATIVE": "off",
            "WHISPER_SERVICE_WORKER_JOBS": "1",
            **measured(),
            **self.environ,
            **environ,
        }
        module = f"whisper_service.cluster.{kind}"
        modules = [FAKE, module] if self.fake else [module]
        with log.open("ab") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", *modules, *arguments],
                cwd=ROOT,
                env=variables,
                stdout=stderr,
                stderr=stderr,
                text=True,
            )
        self._stack.callback(_end, process)
        return Member(process, log, models)


@dataclass
class Service:
    """The service of a cluster."""

    server: LiveServer
    member: Member

    def wait_until_joined(self, times: int = 1) -> None:
        """Wait until workers joined so often, all together."""
        self.member.wait_for(JOINED, times)

    def health(self) -> tuple[int, str]:
        answer = requests.get(f"{self.server.url}/api/v1/health", timeout=10)
        return answer.status_code, answer.text

    def wait_for_engines(self) -> None:
        until(lambda: self.health()[0] == 200)

    def metric(self, name: str) -> float:
        text = requests.get(f"{self.server.url}/metrics", timeout=10).text
        (line,) = (line for line in text.splitlines() if line.startswith(f"{name} "))
        return float(line.split()[1])


@contextmanager
def cluster_in(folder: Path, **how: Any) -> Iterator[Cluster]:
    """Yield a cluster without members yet, and end all that it gets."""
    folder.mkdir(exist_ok=True)
    cluster = Cluster(folder, **how)
    try:
        yield cluster
    finally:
        cluster.close()


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
