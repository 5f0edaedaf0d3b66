"""The background work in lanes: three for uploads, one for stored transcripts, one an engine."""

import logging
import math
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from whisper_service import db, metrics
from whisper_service.config import Config
from whisper_service.errors import Cancelled, ServiceError, Unavailable
from whisper_service.files import conversions
from whisper_service.files.storage import Storage
from whisper_service.files.turns import Turns
from whisper_service.jobs import checkpoints, queue
from whisper_service.jobs.run import SAMPLE_RATE, Progress, Run, Task
from whisper_service.jobs.scheduler import Scheduler
from whisper_service.models import catalog
from whisper_service.whisper.engine import Engine, EngineCrashed
from whisper_service.whisper.protocol import Answer, Transcribed

POLL_SECONDS = 2.0
# A lane that has not been seen for so long is stuck; a look at a hostile file takes a minute.
QUIET_SECONDS = 150
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
        self._scheduler = Scheduler(len(self.engines), self._start_run)
        self._extraction, self._encoding = Turns(), Turns()
        self._pool = ThreadPoolExecutor(4 + len(self.engines), thread_name_prefix="worker")
        self._bell = threading.Condition()
        self._rings = 0
        self._news = threading.Condition()
        self._speeds: dict[str, float] = {}  # of each model: seconds of audio in a second
        self._stopped = threading.Event()
        self._lanes: list[Future[None]] = []
        self._signs: dict[int, float] = {}  # when each thread was last seen

    def start(self) -> None:
        for step in (
            self.extract_once,
            self.extract_short_once,
            self.encode_once,
            self.complete_stored_once,
        ):
            self._lanes.append(self._pool.submit(self._loop, step))
        for number, engine in enumerate(self.engines):
            transcribe = partial(self.transcribe_once, engine, number)
            self._lanes.append(self._pool.submit(self._loop, transcribe, engine))

    def wake(self) -> None:
        """Tell the sleeping lanes that there may be work."""
        with self._bell:
            self._rings += 1
            self._bell.notify_all()

    def check(self) -> None:
        """Raise Unavailable when a lane has ended or stands still, or an engine takes too long."""
        quiet = time.monotonic() - QUIET_SECONDS
        if (
            any(lane.done() for lane in self._lanes)
            or min(self._signs.values(), default=quiet) < quiet
        ):
            raise Unavailable("The worker is stuck")
        if any(engine.is_late for engine in self.engines):
            raise Unavailable("An engine is stuck")

    def wait_for_news(self, seconds: float) -> bool:
        """Wait until something may have changed. False when the service ends."""
        with self._news:
            self._news.wait(min(seconds, POLL_SECONDS))
        return not self._stopped.is_set()

    def tell(self) -> None:
        """Tell those who wait that something has changed."""
        with self._news:
            self._news.notify_all()

    def progress(self, claim: str) -> Progress | None:
        return self._scheduler.progress(claim)

    def seconds_for(self, model: str, audio_seconds: float, *, queued: bool) -> int | None:
        """Guess when so much audio is transcribed, by how fast the model was the last time.

        `queued` audio comes after what the engines have now. None before the first time.
        """
        speed = self._speeds.get(model)
        ahead = self._scheduler.audio_left() if queued and speed else 0.0
        return math.ceil((audio_seconds + ahead) / speed) if speed else None

    def begin_stop(self) -> None:
        """Have all work end. What is running goes back to the queue as if it had not begun."""
        self._stopped.set()
        self.wake()
        self.tell()

    def stop(self) -> None:
        """End all work, and return when it has ended."""
        self.begin_stop()
        self._pool.shutdown()
        for engine in self.engines:
            engine.close()
        for run in self._scheduler.clear():
            queue.put_back(run.job)

    def extract_once(self) -> bool:
        """Make one file ready for transcription, if any waits. Return whether there was one."""
        return self._extract(only_short=False)

    def extract_short_once(self) -> bool:
        """Do the same for files that claim to be short, so that they never wait for long ones."""
        return self._extract(only_short=True)

    def _extract(self, *, only_short: bool) -> bool:
        seconds = self._config.media.max_duration_seconds
        found = conversions.extract_next(
            self._storage, seconds, self._is_running, self._extraction, only_short=only_short
        )
        if found:
            self.wake()
        return found

    def encode_once(self) -> bool:
        """Make one file ready for download, if any waits. Tell whether there was one."""
        seconds = self._config.media.max_duration_seconds
        return conversions.encode_next(self._storage, seconds, self._is_running, self._encoding)

    def complete_stored_once(self) -> bool:
        """Complete one transcription whose transcript is there. Tell whether there was one."""
        found = queue.complete_stored()
        if found:
            self.tell()
        return found

    def transcribe_once(self, engine: Engine, number: int = 0) -> bool:
        """Do one task of a transcription, if any waits. Tell whether there was one."""
        assignment = self._scheduler.next_task(number)
        if assignment is None:
            return False
        run, task = assignment.run, assignment.task
        self.tell()
        if run.ready:
            self.wake()
        try:
            threads = self._config.worker.threads_for(assignment.sharing)
            answer = self._ask(engine, run, task, threads)
            if isinstance(answer, Transcribed):
                self._keep(
                    partial(queue.save_checkpoint, run.job, task.chunk, answer, run.speech_samples)
                )
            is_complete = self._scheduler.complete_task(run, task, answer)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the run, not the lane
            if self._scheduler.abort_run(run):
                self._end(run.job, error)
        else:
            self._continue(run, is_complete=is_complete)
        self.tell()
        return True

    def _continue(self, run: Run, *, is_complete: bool) -> None:
        if is_complete:
            self._complete(run)
        elif run.ready:
            self.wake()
        if speed := run.speed():
            self._speeds[run.job.model] = speed

    def _start_run(self, job: queue.Job) -> Run | None:
        logger.info("Job %s: %d s of audio", job.claim, job.samples // SAMPLE_RATE)
        try:
            return self._prepare_run(job)
        except Exception as error:  # noqa: BLE001 - it is claimed, and nobody else ends it
            self._end(job, error)
            return None

    def _prepare_run(self, job: queue.Job) -> Run:
        model = catalog.find(self._config.models.path, job.model)
        language = "en" if model.is_english_only else job.language
        saved = checkpoints.saved(checkpoints.key(job))
        engines = min(len(self.engines), max(1, _memory() // (MEMORY_SHARE * model.size)))
        return Run(job, language, self._config.decode.chunk_seconds, saved, engines)

    def _ask(self, engine: Engine, run: Run, task: Task, threads: int) -> Answer:
        model = catalog.find(self._config.models.path, run.job.model)
        wav, beam_size = self._storage.speech(run.job.file_uuid), self._config.decode.beam_size
        return engine.ask(
            model.path,
            task.request(wav, run.language, threads, beam_size, run.options),
            SECONDS + SECONDS_PER_SECOND * task.seconds,
            lambda: self._is_running() and queue.is_wanted(run.job),
        )

    def _complete(self, run: Run) -> None:
        try:
            self._keep(partial(queue.complete, run.job, run.transcript()))
            metrics.transcribed(run.job.model, run.job.samples / SAMPLE_RATE, run.seconds)
        except Exception as error:  # noqa: BLE001 - the run is off the board, nobody else ends it
            self._end(run.job, error)

    def _keep(self, write: Callable[[], None]) -> None:
        """Write down what was worked out; on a full disk that waits until there is room."""
        waits = False
        while True:
            try:
                return write()
            except Exception as error:
                if not db.is_full(error) or not self._is_running():
                    raise
                if not waits:
                    logger.warning("The disk is full: a result waits for room")
                waits = True
                self._stopped.wait(POLL_SECONDS)

    def _end(self, job: queue.Job, error: Exception) -> None:
        if isinstance(error, Cancelled) or db.is_full(error):
            end = partial(queue.put_back, job)
        elif isinstance(error, EngineCrashed):
            logger.warning("Job %s: %s", job.claim, error)
            end = partial(queue.retry, job.claim)
        elif isinstance(error, ServiceError):
            end = partial(queue.fail, job, str(error))
        else:
            logger.error("Job %s failed", job.claim, exc_info=error)
            end = partial(queue.fail, job, "Internal error")
        self._keep(end)

    def _is_running(self) -> bool:
        """Tell whether to go on. Every lane asks that all the time, which shows that it lives."""
        self._signs[threading.get_ident()] = time.monotonic()
        return not self._stopped.is_set()

    def _loop(self, step: Callable[[], bool], engine: Engine | None = None) -> None:
        used = time.monotonic()
        while self._is_running():
            rings = self._rings
            try:
                found = step()
            except Exception as error:
                if db.is_full(error):
                    logger.warning("The disk is full: the work waits for room")
                else:
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
