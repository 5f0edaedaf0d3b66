"""The engines of a worker's machine, and the tasks that Dask runs there for the service."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

from blake3 import blake3
from distributed import Status, WorkerPlugin, get_worker
from distributed import Worker as DaskWorker

import whisper_service
from whisper_service.cluster.model_files import ModelFiles
from whisper_service.config import Config
from whisper_service.errors import Cancelled, ServiceError
from whisper_service.whisper import protocol
from whisper_service.whisper.engine import Engine, EngineCrashed
from whisper_service.whisper.native import library
from whisper_service.whisper.protocol import Answer, Request

NAME = "whisper-service"  # of the plugin, and of what a heartbeat says about the machine
IDLE_CHECK_SECONDS = 5
# What a task returns first; the answer itself or a sentence comes second.
ANSWER, FAILED, CRASHED, CANCELLED, NO_MODEL = "answer failed crashed cancelled no-model".split()


class Machine(WorkerPlugin):
    """What a Dask worker needs to do the service's tasks. Safe for threads."""

    name = NAME

    def __init__(self, config: Config) -> None:
        self.models = ModelFiles(config.models.path)
        self.engines = config.worker.engines
        self._settings = config.worker
        environment = partial(library.environment, config.engine)
        self._free = [(0.0, Engine(environment)) for _ in range(self.engines)]
        self._returned = threading.Condition()
        self._closed = threading.Event()
        threading.Thread(target=self._unload_idle, daemon=True).start()

    def describe(self, _worker: DaskWorker | None = None) -> dict[str, Any]:
        """Return what the service has to know of the machine."""
        return {
            "version": version(),
            "engines": self.engines,
            "cores": os.cpu_count() or 1,
            "threads": self._settings.threads,
            "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "models": self.models.digests(),
        }

    def ask(
        self,
        model: Path,
        request: Request,
        seconds: float,
        wanted: Callable[[], bool],
        *,
        is_prebuilt: bool,
    ) -> Answer:
        """Send a request to a free engine. Raises what `Engine.ask` raises."""
        with self._engine(model, wanted) as engine:
            return engine.ask(model, request, seconds, wanted, is_prebuilt=is_prebuilt)

    def close(self) -> None:
        """Kill the engines that are free; those that are not wait for their requests to end."""
        self._closed.set()
        with self._returned:
            for _, engine in self._free:
                engine.close()

    @contextmanager
    def _engine(self, model: Path, wanted: Callable[[], bool]) -> Iterator[Engine]:
        """Take an engine, by preference one with the model in memory."""
        with self._returned:
            # One whose request was cancelled is free within a second.
            while not self._free:
                self._returned.wait(1)
                if not wanted():
                    raise Cancelled
            pair = min(self._free, key=lambda pair: (pair[1].model != model, pair[0]))
            self._free.remove(pair)
        try:
            yield pair[1]
        finally:
            with self._returned:
                self._free.append((time.monotonic(), pair[1]))
                self._returned.notify()
            if self._closed.is_set():
                self.close()

    def _unload_idle(self) -> None:
        while not self._closed.wait(IDLE_CHECK_SECONDS):
            with self._returned:
                for since, engine in self._free:
                    if engine.model and time.monotonic() - since > self._settings.idle_seconds:
                        engine.close()


def ahead(engines: int) -> int:
    """Return how many tasks may wait at a machine until one of its engines is free.

    With few engines, which end seldom, a task would wait longer there than for the way.
    """
    return engines // 4


@cache
def version() -> str:
    """Return a hash of the service's source: machines with different ones don't work together."""
    source, found = Path(whisper_service.__file__).parent, blake3()
    for path in sorted(source.rglob("*.py")):
        found.update(path.relative_to(source).as_posix().encode() + path.read_bytes())
    return found.hexdigest()


def ask(model: str, request: bytes, seconds: float, is_prebuilt: bool) -> tuple[str, bytes | str]:  # noqa: FBT001 - Dask passes them on
    """Do a request of the service with a model, by its hash."""
    machine, wanted = _machine(), _wanted()
    path = machine.models.path(model)
    if path is None:
        return NO_MODEL, ""
    message: Any = protocol.from_bytes(request)
    try:
        answer = machine.ask(path, message, seconds, wanted, is_prebuilt=is_prebuilt)
    except Cancelled:
        return CANCELLED, ""
    except EngineCrashed as error:
        return CRASHED, str(error)
    except ServiceError as error:
        return FAILED, str(error)
    return ANSWER, protocol.to_bytes(answer)


def receive(model: str, size: int, offset: int, data: bytes) -> int:
    """Take a piece of a model, by its hash. Return how many bytes of it are here."""
    return _machine().models.append(model, size, offset, data)


def _machine() -> Machine:
    return cast("Machine", get_worker().plugins[NAME])


def _wanted() -> Callable[[], bool]:
    """Return what says whether the task that runs in this thread is still wanted.

    The scheduler takes a task back when the service cancels it, ends, or cannot be reached.
    """
    worker, key = get_worker(), get_worker().get_current_task()

    def wanted() -> bool:
        task = worker.state.tasks.get(key)
        return worker.status == Status.running and task is not None and task.state == "executing"

    return wanted
