"""The supervisor of an engine's process: starts it, sends it requests, and kills it if need be."""

import logging
import math
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from whisper_service import sandbox
from whisper_service.errors import Cancelled, ServiceError
from whisper_service.sandbox import Limits
from whisper_service.whisper import protocol
from whisper_service.whisper.protocol import Answer, Failed, Message, Request

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "whisper_service.whisper.engine_process"]
LOAD_SECONDS = 300
POLL_INTERVAL = 0.5
LATE_SHARE = 0.5
MAX_STDERR = 2000
MAX_ANSWER = 16 * 1024**2  # bytes; thousands of words have one hundredth of it
# HTTP requests go first: they need little CPU time, and somebody is waiting.
LIMITS = Limits(niceness=5)

logger = logging.getLogger(__name__)


class EngineCrashed(Exception):
    """The process died or hung. The same request may well succeed another time."""


class EngineLost(Exception):
    """The engine's machine cannot be reached any more. Another engine may do the same at once."""


class _Child:
    """A process with one model, and the connection to it."""

    def __init__(self, model: Path, environment: Mapping[str, str]) -> None:
        self.model = model
        self.loaded = _identity(model), environment
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*sandbox.command(LIMITS), *PROGRAM, str(theirs.fileno()), str(model.resolve())],
                cwd=ROOT,
                env={**os.environ, **_thread_limits(), **environment},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                process_group=0,  # Ctrl-C is for the service, which then ends its children
            )
        ours.settimeout(0)
        self._socket = ours
        self._stderr_tail = b""
        assert self._process.stderr
        self._stderr = self._process.stderr
        os.set_blocking(self._stderr.fileno(), False)

    @property
    def stderr_tail(self) -> str:
        """The end of its standard error, where whisper.cpp writes why it aborts."""
        return self._stderr_tail.decode(errors="replace")

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def wait_until_ready(self, wanted: Callable[[], bool]) -> None:
        self._receive(time.monotonic() + LOAD_SECONDS, wanted)

    def ask(self, request: Request, seconds: float, wanted: Callable[[], bool]) -> Answer:
        deadline = time.monotonic() + seconds
        self._send(request, deadline, wanted)
        answer = self._receive(deadline, wanted)
        if not isinstance(answer, Answer):
            raise EngineCrashed("The engine sent no answer")
        return answer

    def _send(self, request: Request, deadline: float, wanted: Callable[[], bool]) -> None:
        left = memoryview(protocol.frame(request))
        while left:
            self._wait(select.POLLOUT, deadline, wanted)
            left = left[self._socket.send(left) :]

    def _receive(self, deadline: float, wanted: Callable[[], bool]) -> Message:
        (size,) = protocol.LENGTH.unpack(self._read(protocol.LENGTH.size, deadline, wanted))
        if size > MAX_ANSWER:
            raise EngineCrashed("The engine's answer is too long")
        message = protocol.from_bytes(self._read(size, deadline, wanted))
        self._read_stderr()
        if isinstance(message, Failed):
            raise ServiceError(message.error)
        return message

    def _read(self, size: int, deadline: float, wanted: Callable[[], bool]) -> bytes:
        data = b""
        while len(data) < size:
            self._wait(select.POLLIN, deadline, wanted)
            chunk = self._socket.recv(size - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return data

    def _wait(self, event: int, deadline: float, wanted: Callable[[], bool]) -> None:
        """Wait until the socket can be read or written.

        Sending can block as well: a request with its samples exceeds the socket's buffer, and a
        process that hangs does not read it.
        """
        poll = select.poll()
        poll.register(self._socket, event)
        while not poll.poll(POLL_INTERVAL * 1000):
            self._read_stderr()
            if not wanted():
                raise Cancelled
            if time.monotonic() > deadline:
                raise EngineCrashed("The engine took too long")

    def kill(self) -> int:
        self._process.kill()
        self._socket.close()
        code = self._process.wait()
        with self._stderr:
            self._read_stderr()
        return code

    def _read_stderr(self) -> None:
        """Read its standard error so far, since a full pipe would block the process."""
        with suppress(BlockingIOError):
            while chunk := os.read(self._stderr.fileno(), 65_536):
                self._stderr_tail = (self._stderr_tail + chunk)[-MAX_STDERR:]


class Engine:
    """One child process with one model in memory, for one thread.

    The process stays while the same model is asked for. Another model gets a new process, so that
    the memory of the old one is certainly freed. `environment` returns the variables that choose
    how whisper.cpp computes; when they change, so does the process.
    """

    def __init__(self, environment: Callable[[], Mapping[str, str]] = dict) -> None:
        self.loads = 0
        self._environment = environment
        self._child: _Child | None = None
        self._due = math.inf

    @property
    def model(self) -> Path | None:
        """The model that is loaded, if any."""
        return self._child.model if self._child else None

    @property
    def is_late(self) -> bool:
        """Return whether the process has used a good part of its time limit."""
        return time.monotonic() > self._due

    def ask(
        self,
        model: Path,
        request: Request,
        seconds: float,
        wanted: Callable[[], bool],
        *,
        is_prebuilt: bool = False,
    ) -> Answer:
        """Send a request to the model's process, and return its answer within `seconds`.

        `wanted` is called twice a second. With `is_prebuilt` the process uses the prebuilt engine,
        whatever the environment says. Raises Cancelled once it returns False, EngineCrashed
        when the process died or took too long, ServiceError for a model or recording that cannot
        be used.
        """
        self._due = time.monotonic() + LATE_SHARE * seconds
        try:
            environment = {} if is_prebuilt else self._environment()
            return self._load(model, environment, wanted).ask(request, seconds, wanted)
        except (OSError, EOFError) as error:
            dead, code = self._child, self.close()
            logger.warning("An engine ended with %s: %s", code, dead.stderr_tail if dead else "")
            raise EngineCrashed(f"The engine ended with {code}") from error
        except BaseException:
            self.close()
            raise
        finally:
            self._due = math.inf

    def close(self) -> int | None:
        """Kill the process. Return its exit code, or None if there was none."""
        child, self._child = self._child, None
        return child.kill() if child else None

    def _load(
        self, model: Path, environment: Mapping[str, str], wanted: Callable[[], bool]
    ) -> _Child:
        wanted_one = _identity(model), environment
        if self._child and self._child.loaded == wanted_one and self._child.is_alive():
            return self._child
        self.close()
        self._child = _Child(model, environment)
        self._child.wait_until_ready(wanted)
        self.loads += 1
        return self._child


def _thread_limits() -> dict[str, str]:
    """Return the environment that limits threads to the cores, and says how they wait.

    With OpenMP threads that spin, work of 1.2 s took 7 s when they had to share their cores; with
    threads that sleep at once, work of 0.6 s took 1.2 s on free cores. A short spin is best.
    """
    cores = str(os.cpu_count() or 1)
    return {"OMP_THREAD_LIMIT": cores, "GOMP_SPINCOUNT": "1000", "OPENBLAS_NUM_THREADS": "1"}


def _identity(model: Path) -> tuple[Path, int]:
    """Return what distinguishes a model file from one that replaced it under the same name."""
    try:
        return model, model.stat().st_mtime_ns
    except OSError as error:
        raise ServiceError("The model file cannot be read") from error
