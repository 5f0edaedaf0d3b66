"""A service with a cluster whose processes are killed and stopped, and whose lines are cut."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from os import kill
from pathlib import Path
from typing import IO, Any

from tests.support.line import Line, line_to
from tests.support.live import QUICK
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.processes import children, processes_of
from tests.support.site import Site
from tests.support.waiting import until

WORKER = "tests.support.cluster_program", "whisper_service.cluster.worker"
WORKERS, ENGINES = 3, 4  # as many as it takes for tasks to be sent ahead
STOP_SECONDS = 30.0
GONE_SECONDS = 5.0
CHUNK_SECONDS = 5
FAKE_ENGINE = "tests.support.fake_engine"

Process = subprocess.Popen[Any]


class Part:
    """A process that is started again after each kill."""

    def __init__(self, name: str, command: Sequence[str], log: IO[bytes], **environ: str) -> None:
        self.name = name
        self._command, self._log, self._environ = command, log, environ
        self.process = self.launch()
        self.is_up, self.is_still = True, False

    def launch(self) -> Process:
        command = [sys.executable, "-m", *self._command]
        environ = {"PATH": "/usr/bin:/bin", **self._environ}
        return subprocess.Popen(command, cwd=ROOT, env=environ, stderr=self._log)

    def kill(self) -> None:
        self.is_up = self.is_still = False
        self.process.kill()
        self.process.wait()

    def revive(self, seconds: float) -> None:
        """Start it again after some seconds."""
        time.sleep(seconds)
        self.process = self.launch()
        self.is_up = True

    def stand_still(self) -> Process:
        self.is_still = True
        self.process.send_signal(signal.SIGSTOP)
        return self.process

    def go_on(self, process: Process, seconds: float) -> None:
        """Let what stands still go on after some seconds, unless it was killed meanwhile."""
        time.sleep(seconds)
        process.send_signal(signal.SIGCONT)
        if process is self.process:
            self.is_still = False

    def engines(self) -> list[int]:
        return children(self.process.pid, FAKE_ENGINE) if self.is_up else []


class LoggedSite(Site):
    """A site whose service writes its log into a file."""

    def __init__(self, folder: Path, log: IO[bytes], **how: Any) -> None:
        super().__init__(folder, **how)
        self._log = log

    @property
    def _environ(self) -> dict[str, Any]:
        return {**super()._environ, "stderr": self._log}


class ServicePart(Part):
    """The service of a site, which tells the clients when it is there."""

    def __init__(self, site: Site) -> None:
        self.name, self.site = "service", site
        self.process = self.launch()
        self.is_up, self.is_still = True, False

    def launch(self) -> Process:
        self.site.start()
        return self.site.server.process

    def kill(self) -> None:
        self.is_up = self.is_still = False
        self.site.kill()


class Cluster:
    """The service, the scheduler behind a line, and the workers, all on this machine.

    Engines take some seconds for each chunk. Logs are closed with the stack.
    """

    def __init__(
        self, folder: Path, line: Line, port: int, seconds: float, stack: ExitStack
    ) -> None:
        self.folder, self.line = folder, line
        self._seconds, self._stack = seconds, stack
        url = f"tcp://127.0.0.1:{line.port}"
        module = "whisper_service.cluster.scheduler"
        self.scheduler = self._member("scheduler", module, f"tcp://127.0.0.1:{port}")
        self.workers = [self._member(f"worker-{number}", *WORKER, url) for number in range(WORKERS)]
        environ = {**self._engines(), "WHISPER_SERVICE_CLUSTER_SCHEDULER": url}
        log = self._open(self.service_log)
        self.site = LoggedSite(folder, log, seconds=seconds, **environ)
        self.service = ServicePart(self.site)

    @property
    def service_log(self) -> Path:
        return self.folder / "service.log"

    @property
    def parts(self) -> list[Part]:
        return [self.service, self.scheduler, *self.workers]

    def check(self) -> None:
        """Check that nothing has ended by itself."""
        for part in self.parts:
            code = part.process.poll() if part.is_up else None
            assert code is None, f"{part.name} ended by itself with {code}"

    def stop(self) -> None:
        """Stop everything at once. Each part has to exit with 0, and nothing may be left."""
        for part in self.parts:
            part.process.terminate()
        codes = {part.name: part.process.wait(STOP_SECONDS) for part in self.parts}
        assert set(codes.values()) == {0}, codes
        until(lambda: not processes_of(self.folder), GONE_SECONDS)

    def _member(self, name: str, *command: str) -> Part:
        models = self.folder / name
        models.mkdir(parents=True)
        environ = {
            **QUICK,
            **self._engines(),
            "WHISPER_SERVICE_WORKER_JOBS": str(ENGINES),
            "WHISPER_SERVICE_MODELS_PATH": str(models),
        }
        return Part(name, list(command), self._open(self.folder / f"{name}.log"), **environ)

    def _engines(self) -> dict[str, str]:
        return {
            "FAKE_SECONDS": str(self._seconds),
            "FAKE_WORDS": "hash",
            "WHISPER_SERVICE_WORKER_JOBS": "1",
            "WHISPER_SERVICE_ENGINE_NATIVE": "off",
            "WHISPER_SERVICE_DECODE_CHUNK_SECONDS": str(CHUNK_SECONDS),
        }

    def _open(self, log: Path) -> IO[bytes]:
        return self._stack.enter_context(log.open("ab"))


@contextmanager
def cluster(folder: Path, seconds: float) -> Iterator[Cluster]:
    """Run a cluster whose engines take some seconds for each chunk; kill what it leaves."""
    port = free_port()
    with line_to(port) as line, ExitStack() as stack:
        try:
            yield Cluster(folder, line, port, seconds, stack)
        finally:
            for pid in processes_of(folder):
                with suppress(ProcessLookupError):
                    kill(pid, signal.SIGKILL)
