"""The background work in lanes: two for uploads, one for stored transcripts, one an engine."""

import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from whisper_service import conversions, jobs, model_files, partials
from whisper_service.board import Board
from whisper_service.config import Config
from whisper_service.engine import Engine, EngineCrashed
from whisper_service.errors import Cancelled, ServiceError
from whisper_service.runs import SAMPLE_RATE, TRANSCRIBE, Run, Task
from whisper_service.storage import Storage

POLL_SECONDS = 2.0
# How long a task may take: large models on slow machines need some ten times its length.
SECONDS, SECONDS_PER_SECOND = 120, 60
# Each engine holds a copy of its model, and half as much again to work with. The copies of one
# model may fill half of the memory: large ones are left to fewer engines with more threads.
MEMORY_SHARE = 3

logger = logging.getLogger(__name__)


class Worker:
    """A pool of threads that each do one step after the other, and sleep when there is none."""

    def __init__(self, config: Config, storage: Storage) -> None:
        self.engines = [Engine() for _ in range(config.worker.engines)]
        self._config = config
        self._storage = storage
        self._board = Board(len(self.engines), self._start_run)
        self._pool = ThreadPoolExecutor(3 + len(self.engines), thread_name_prefix="worker")
        self._bell = threading.Condition()
        self._rings = 0
        self._stopped = threading.Event()

    def start(self) -> None:
        self._pool.submit(self._loop, self.extract_once)
        self._pool.submit(self._loop, self.encode_once)
        self._pool.submit(self._loop, jobs.complete_stored)
        for number, engine in enumerate(self.engines):
            self._pool.submit(self._loop, partial(self.transcribe_once, engine, number), engine)

    def wake(self) -> None:
        """Tell the sleeping lanes that there may be work."""
        with self._bell:
            self._rings += 1
            self._bell.notify_all()

    def stop(self) -> None:
        """End all work. What is running goes back to the queue as if it had not begun."""
        self._stopped.set()
        self.wake()
        self._pool.shutdown()
        for engine in self.engines:
            engine.close()
        for run in self._board.clear():
            jobs.put_back(run.job)

    def extract_once(self) -> bool:
        """Make one file ready for transcription, if any waits. Tell whether there was one."""
        seconds = self._config.media.max_duration_seconds
        found = conversions.extract_next(self._storage, seconds, self._is_running)
        if found:
            self.wake()
        return found

    def encode_once(self) -> bool:
        """Make one file ready for download, if any waits. Tell whether there was one."""
        seconds = self._config.media.max_duration_seconds
        return conversions.encode_next(self._storage, seconds, self._is_running)

    def transcribe_once(self, engine: Engine, number: int = 0) -> bool:
        """Do one task of a transcription, if any waits. Tell whether there was one."""
        taken = self._board.take(number)
        if taken is None:
            return False
        run, task, busy = taken
        if run.ready:
            self.wake()
        try:
            answer = self._ask(engine, run, task, self._config.worker.threads_for(busy))
            if task.do == TRANSCRIBE:
                partials.save(partials.key(run.job), task.chunk, answer)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the run, not the lane
            if self._board.drop(run):
                self._end(run.job, error)
            return True
        if self._board.give(run, task, answer):
            self._complete(run)
        elif run.ready:
            self.wake()
        return True

    def _start_run(self, job: jobs.Job) -> Run | None:
        logger.info("Job %s: %d s of audio", job.claim, job.samples // SAMPLE_RATE)
        try:
            model = model_files.find(self._config.models.path, job.model)
        except ServiceError as error:
            jobs.fail(job, str(error))
            return None
        language = "en" if model.is_english_only else job.language
        saved = partials.saved(partials.key(job))
        engines = min(len(self.engines), max(1, _memory() // (MEMORY_SHARE * model.size)))
        return Run(job, language, self._config.decode.chunk_seconds, saved, engines)

    def _ask(self, engine: Engine, run: Run, task: Task, threads: int) -> dict[str, Any]:
        model = model_files.find(self._config.models.path, run.job.model)
        wav = str(self._storage.speech(run.job.file_uuid))
        return engine.ask(
            model.path,
            task.request(wav, run.language, threads, self._config.decode.beam_size),
            SECONDS + SECONDS_PER_SECOND * task.seconds,
            lambda: self._is_running() and jobs.is_wanted(run.job),
        )

    def _complete(self, run: Run) -> None:
        try:
            jobs.complete(run.job, run.transcript())
        except Exception as error:  # noqa: BLE001 - the run is off the board, nobody else ends it
            self._end(run.job, error)

    def _end(self, job: jobs.Job, error: Exception) -> None:
        if isinstance(error, Cancelled):
            jobs.put_back(job)
        elif isinstance(error, EngineCrashed):
            logger.warning("Job %s: %s", job.claim, error)
            jobs.retry(job.claim)
        elif isinstance(error, ServiceError):
            jobs.fail(job, str(error))
        else:
            logger.error("Job %s failed", job.claim, exc_info=error)
            jobs.fail(job, "Internal error")

    def _is_running(self) -> bool:
        return not self._stopped.is_set()

    def _loop(self, step: Callable[[], bool], engine: Engine | None = None) -> None:
        used = time.monotonic()
        while self._is_running():
            rings = self._rings
            try:
                found = step()
            except Exception:
                logger.exception("A step of the worker failed")
                found = False
            if found:
                used = time.monotonic()
                continue
            if engine and time.monotonic() - used > self._config.worker.idle_seconds:
                engine.close()
            self._sleep(rings)

    def _sleep(self, rings: int) -> None:
        """Wait for a ring since `rings` was read, so that none is missed in between."""
        with self._bell:
            self._bell.wait_for(lambda: self._rings != rings, POLL_SECONDS)


def _memory() -> int:
    """Tell how many bytes of memory the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
