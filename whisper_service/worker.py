"""The background work: one lane that converts uploads, and one for each transcription at a time."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from whisper_service import conversions, jobs, model_files
from whisper_service.config import Config
from whisper_service.engine import Engine, EngineCrashed
from whisper_service.errors import Cancelled, ServiceError
from whisper_service.storage import Storage
from whisper_service.transcript import Transcript

POLL_SECONDS = 2.0

logger = logging.getLogger(__name__)


class Worker:
    """A pool of threads that each do one step after the other, and sleep when there is none."""

    def __init__(self, config: Config, storage: Storage) -> None:
        self.engines = [Engine(config.worker.threads_per_job) for _ in range(config.worker.jobs)]
        self._config = config
        self._storage = storage
        self._pool = ThreadPoolExecutor(1 + len(self.engines), thread_name_prefix="worker")
        self._bell = threading.Condition()
        self._rings = 0
        self._stopped = threading.Event()

    def start(self) -> None:
        self._pool.submit(self._loop, self.convert_once)
        for engine in self.engines:
            self._pool.submit(self._loop, partial(self.transcribe_once, engine))

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

    def convert_once(self) -> bool:
        """Convert one file, if any waits. Tell whether there was one."""
        seconds = self._config.media.max_duration_seconds
        found = conversions.convert_next(self._storage, seconds, self._is_running)
        if found:
            self.wake()
        return found

    def transcribe_once(self, engine: Engine) -> bool:
        """Run one job, if any waits. Tell whether there was one."""
        job = jobs.claim_next()
        if job is None:
            return False
        try:
            transcript = self._transcribe(job, engine)
        except Cancelled:
            jobs.put_back(job)
        except EngineCrashed as error:
            logger.warning("Job %s: %s", job.claim, error)
            jobs.retry(job.claim)
        except ServiceError as error:
            jobs.fail(job, str(error))
        except Exception:
            logger.exception("Job %s failed", job.claim)
            jobs.fail(job, "Internal error")
        else:
            jobs.complete(job, transcript)
        return True

    def _transcribe(self, job: jobs.Job, engine: Engine) -> Transcript:
        started = time.monotonic()
        model = model_files.find(self._config.models.path, job.model)
        transcript = engine.transcribe(
            model.path,
            self._storage.speech(job.file_uuid),
            job.language,
            job.duration,
            lambda: self._is_running() and jobs.is_wanted(job),
        )
        seconds = time.monotonic() - started
        logger.info("Job %s: %.1f s of audio in %.1f s", job.claim, job.duration, seconds)
        return transcript

    def _is_running(self) -> bool:
        return not self._stopped.is_set()

    def _loop(self, step: Callable[[], bool]) -> None:
        while self._is_running():
            rings = self._rings
            try:
                found = step()
            except Exception:
                logger.exception("A step of the worker failed")
                found = False
            if not found:
                self._sleep(rings)

    def _sleep(self, rings: int) -> None:
        """Wait for a ring since `rings` was read, so that none is missed in between."""
        with self._bell:
            self._bell.wait_for(lambda: self._rings != rings, POLL_SECONDS)
