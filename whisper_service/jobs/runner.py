"""Does the tasks of jobs with an engine, and ends each job in the way that its outcome asks for."""

import logging
from collections.abc import Iterable
from functools import partial

from whisper_service import db, metrics
from whisper_service.audio import seconds_of
from whisper_service.config import Config
from whisper_service.errors import Cancelled, ServiceError
from whisper_service.files.storage import Storage
from whisper_service.jobs import outcomes
from whisper_service.jobs.changes import ChangeNotifier
from whisper_service.jobs.job import Job
from whisper_service.jobs.progress import ProgressEstimator
from whisper_service.jobs.run import Run
from whisper_service.jobs.scheduler import Assignment, NotStarted, Scheduler
from whisper_service.jobs.slots import DeviceSlot, Slot
from whisper_service.jobs.threads import WorkerThreads
from whisper_service.models import catalog
from whisper_service.whisper.engine import Engine, EngineCrashed, EngineLost
from whisper_service.whisper.protocol import Answer, Transcribed

# How long a task may take: large models on slow machines need some ten times its length.
TASK_SECONDS, TASK_SECONDS_PER_SECOND = 120, 60
# How many machines may be lost with one task before it counts as a crash of the engine.
MAX_LOSSES = 5

logger = logging.getLogger(__name__)


class JobRunner:
    """Runs jobs on the engines of slots. Safe for threads, of which each engine has one."""

    def __init__(
        self,
        config: Config,
        storage: Storage,
        slots: Iterable[Slot],
        threads: WorkerThreads,
        changes: ChangeNotifier,
    ) -> None:
        self._config = config
        self._storage = storage
        self._threads = threads
        self._changes = changes
        self.scheduler = Scheduler(config, storage, slots)
        self.progress = ProgressEstimator(self.scheduler)

    def transcribe_once(self, engine: Engine, slot: Slot) -> bool:
        """Do one task of a job with the engine of a slot. Return whether there was one."""
        try:
            assignment = self.scheduler.next_task(slot)
        except NotStarted as failure:
            self._end(failure.job, failure.error)
            self._changes.notify()
            return True
        if assignment is None:
            return False
        run = assignment.run
        self._changes.notify()
        if assignment.is_first and run.ready:
            self._threads.wake()
        try:
            is_complete = self._do(engine, assignment)
        except EngineLost as loss:
            self._try_elsewhere(assignment, loss)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the run, not the thread
            self._give_up(assignment, error)
        else:
            self._continue(run, is_complete=is_complete)
        self._changes.notify()
        return True

    def put_back_all(self) -> None:
        """Put all running jobs back into the queue, as if they had not begun."""
        for run in self.scheduler.clear():
            outcomes.put_back(run.job)

    def _do(self, engine: Engine, assignment: Assignment) -> bool:
        """Do a task, and keep its result. Return whether its run is complete."""
        run = assignment.run
        if not outcomes.is_wanted(run.job):  # engines ask only while they wait for an answer
            raise Cancelled
        answer = self._ask(engine, assignment)
        if isinstance(answer, Transcribed):
            save, chunk = outcomes.save_checkpoint, assignment.task.chunk
            self._threads.keep(partial(save, run.job, chunk, answer, run.speech_samples))
        had_more = run.ready > 0
        is_complete = self.scheduler.complete_task(assignment, answer)
        if run.ready and not had_more:  # engines sleep only while there is nothing for them
            self._threads.wake()
        return is_complete

    def _ask(self, engine: Engine, assignment: Assignment) -> Answer:
        run, task = assignment.run, assignment.task
        threads = assignment.slot.machine.threads_for(assignment.sharing)
        model = catalog.find(self._config.models.path, run.job.key.model)
        wav, beam_size = self._storage.speech(run.job.key.file_uuid), self._config.decode.beam_size
        return engine.ask(
            model.path,
            task.request(wav, run.language, threads, beam_size, run.options, assignment.expected),
            TASK_SECONDS + TASK_SECONDS_PER_SECOND * task.seconds,
            lambda: self._threads.heartbeat() and outcomes.is_wanted(run.job),
            # What crashed once may be the fault of the engine that was built here.
            is_prebuilt=run.job.attempts > 0,
        )

    def _try_elsewhere(self, assignment: Assignment, loss: EngineLost) -> None:
        """Make a task ready for another engine, or end its run after too many losses."""
        run = assignment.run
        logger.warning("Job %s: %s", run.job.claim, loss)
        if self.scheduler.take_back(assignment) < MAX_LOSSES:
            metrics.ran_again()
            self._threads.wake()
        elif self.scheduler.remove_run(run):
            self._end(run.job, EngineCrashed(str(loss)))

    def _give_up(self, assignment: Assignment, error: Exception) -> None:
        """End the run of a task that failed, or leave it to the processors if a GPU failed."""
        job, slot = assignment.run.job, assignment.slot
        if isinstance(slot, DeviceSlot) and isinstance(error, EngineCrashed | ServiceError):
            logger.warning("Job %s goes on without %s: %s", job.claim, slot.machine.name, error)
            self.scheduler.avoid_devices(assignment)
            metrics.ran_again()
            self._threads.wake()
        elif self.scheduler.abort_run(assignment):
            self._end(job, error)

    def _continue(self, run: Run, *, is_complete: bool) -> None:
        if is_complete:
            self._complete(run)
        if speed := run.speed():
            self.progress.record_speed(run.job.key.model, speed)

    def _complete(self, run: Run) -> None:
        try:
            self._threads.keep(partial(outcomes.complete, run.job, run.transcript()))
            metrics.transcribed(run.job.key.model, seconds_of(run.job.samples), run.seconds)
        except Exception as error:  # noqa: BLE001 - the scheduler has forgotten it, nobody else ends it
            self._end(run.job, error)

    def _end(self, job: Job, error: Exception) -> None:
        if isinstance(error, Cancelled) or db.is_full(error):
            end = partial(outcomes.put_back, job)
        elif isinstance(error, EngineCrashed):
            logger.warning("Job %s: %s", job.claim, error)
            end = partial(outcomes.retry, job.claim)
        elif isinstance(error, ServiceError):
            end = partial(outcomes.fail, job, str(error))
        else:
            logger.error("Job %s failed", job.claim, exc_info=error)
            end = partial(outcomes.fail, job, "Internal error")
        self._threads.keep(end)
