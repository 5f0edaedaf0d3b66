"""Decides which task an engine gets next, so that nobody waits for another's long recording."""

import threading
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from whisper_service.audio import seconds_of
from whisper_service.config import Config
from whisper_service.errors import Cancelled
from whisper_service.files import speech_probabilities
from whisper_service.files.storage import Storage
from whisper_service.jobs import devices, queue
from whisper_service.jobs.job import Job
from whisper_service.jobs.queue import SHORT_SECONDS
from whisper_service.jobs.run import Progress, Run, Task
from whisper_service.jobs.slots import Machine, Slot
from whisper_service.jobs.start import start
from whisper_service.models import catalog
from whisper_service.models.catalog import ModelFile
from whisper_service.transcripts.transcript import Segment
from whisper_service.whisper.chunking import Chunk
from whisper_service.whisper.protocol import Answer


class NotStarted(Exception):
    """A claimed job whose run could not be started, because of `error`."""

    def __init__(self, job: Job, error: Exception) -> None:
        super().__init__(job.claim)
        self.job, self.error = job, error


@dataclass(frozen=True)
class Assignment:
    """A task for the engine of a slot.

    `sharing` is how many engines share the machine's cores meanwhile. `expected` is the language
    that the run's other chunks are in; None if that is not known. A task `is_first` if no other
    engine is at its run.
    """

    run: Run
    task: Task
    slot: Slot
    sharing: int
    expected: str | None
    is_first: bool


@dataclass(frozen=True)
class _Claim:
    """A user's job that is still to be claimed; only a short one, or any."""

    user_id: int
    only_short: bool


class EngineCount(NamedTuple):
    """The engines of a machine, and how many of them are busy."""

    engines: int
    busy: int


class Scheduler:
    """The runs that are under way, for all engines.

    Between users, whoever was served the least comes first; of a user's work the short, then the
    oldest.

    No query, transaction or file is waited for under the lock that `progress` takes: one engine at
    a time chooses, under a lock of its own.
    """

    def __init__(self, config: Config, storage: Storage, slots: Iterable[Slot]) -> None:
        self._config = config
        self._storage = storage
        self._slots = set(slots)
        self._without_engine: frozenset[str] = frozenset()  # the models that no engine can run
        self._runs: list[Run] = []
        self._served: dict[int, float] = {}
        self._busy: Counter[Machine] = Counter()
        self._lock = threading.Lock()
        self._choosing = threading.Lock()

    def next_task(self, slot: Slot) -> Assignment | None:
        """Return a task for the engine of a slot; None when there is none.

        Raises NotStarted for a job that was claimed and cannot run; the caller has to end it. Its
        error is Cancelled if the engines that could run it are gone.
        """
        if slot.is_ahead and self._has_idle_engine():
            return None
        with self._choosing:
            waiting = queue.waiting(self._without_engine)
            tried: set[_Claim] = set()
            while True:
                with self._lock:
                    choice = self._choose(slot, waiting, tried)
                    if isinstance(choice, Run):
                        return self._assign(choice, slot)
                if choice is None:
                    return None
                if not self._claim(choice):
                    tried.add(choice)

    def complete_task(self, assignment: Assignment, answer: Answer) -> bool:
        """Take the answer to a task. Return whether its run is complete, and removed."""
        run = assignment.run
        with self._lock:
            run.complete(assignment.task, answer)
            self._release(assignment)
            needs_plan = run.needs_plan
        chunks = self._plan(run) if needs_plan else []
        with self._lock:
            if needs_plan:
                run.begin(chunks)
            return run.is_complete and self._remove(run)

    def take_back(self, assignment: Assignment) -> int:
        """Return how often a task's engine has been lost, now that it is ready for another one."""
        with self._lock:
            self._release(assignment)
            return assignment.run.take_back(assignment.task)

    def avoid_devices(self, assignment: Assignment) -> None:
        """Leave the run of a task that failed on a GPU, and the task itself, to other engines."""
        with self._lock:
            self._release(assignment)
            run = assignment.run
            run.avoids_devices = True
            run.take_back(assignment.task)
            run.engines = self._count_for(run)

    def abort_run(self, assignment: Assignment) -> bool:
        """Remove the run of a task that failed. Return whether it was there until now."""
        with self._lock:
            self._release(assignment)
            return self._remove(assignment.run)

    def remove_run(self, run: Run) -> bool:
        """Remove a run. Return whether it was there until now."""
        with self._lock:
            return self._remove(run)

    def change_slots(self, *, added: Collection[Slot] = (), removed: Collection[Slot] = ()) -> None:
        """Take note of slots that came or went, or of what they can run now.

        Jobs whose models no engine can run wait, and hold up nobody.
        """
        models = catalog.available(self._config.models.path)
        with self._lock:
            self._slots = (self._slots | set(added)) - set(removed)
            self._without_engine = frozenset(
                model.name for model in models if not self._count(model)
            )
            for run in self._runs:
                run.engines = self._count_for(run)

    def engines(self) -> dict[str, EngineCount]:
        """Return how many engines there are on each machine, by name."""
        found: dict[str, EngineCount] = {}
        with self._lock:
            for machine in {slot.machine for slot in self._slots}:
                total, busy = found.get(machine.name, EngineCount(0, 0))
                now_busy = min(machine.engines, self._busy[machine])  # others wait there
                found[machine.name] = EngineCount(total + machine.engines, busy + now_busy)
        return found

    def models(self) -> set[ModelFile]:
        """Return the models that the runs need, and those that jobs wait for."""
        missing = self._without_engine and self._without_engine & queue.waiting_models()
        found = catalog.available(self._config.models.path) if missing else []
        with self._lock:
            needed = {run.model for run in self._runs}
        return needed | {model for model in found if model.name in missing}

    def progress(self, claim: str) -> Progress | None:
        """Return how far the run of a claim has come; None when there is no such run."""
        with self._lock:
            run = next((run for run in self._runs if run.job.claim == claim), None)
            return run.progress() if run else None

    def heard(self, claim: str, after: int) -> list[list[Segment]]:
        """Return what was said in each chunk of a claim's run so far, after the first ones.

        The chunks are in order and without a gap. Times count from the start of each.
        """
        with self._lock:
            run = next((run for run in self._runs if run.job.claim == claim), None)
            return run.heard(after) if run else []

    def audio_left(self) -> float:
        """Return the seconds of audio that the runs have still to transcribe."""
        with self._lock:
            return sum(seconds_of(run.job.samples) * (1 - run.share) for run in self._runs)

    def is_idle(self) -> bool:
        """Return whether nothing runs, and nothing waits to run."""
        with self._lock:
            if self._runs:
                return False
        return not queue.waiting()

    def clear(self) -> list[Run]:
        """Remove all runs, and return them."""
        with self._lock:
            runs, self._runs = self._runs, []
        return runs

    def _has_idle_engine(self) -> bool:
        with self._lock:
            engines = sum(not slot.is_ahead for slot in self._slots)
            return sum(self._busy.values()) < engines

    def _plan(self, run: Run) -> list[Chunk]:
        """Keep what was found for other runs, and plan this one."""
        file_uuid = run.job.key.file_uuid
        speech_probabilities.keep(self._storage, file_uuid, run.probabilities())
        return run.plan()

    def _assign(self, run: Run, slot: Slot) -> Assignment:
        is_first = not run.is_under_way
        task, machine = run.next_task(), slot.machine
        self._served[run.job.user_id] += task.seconds
        self._busy[machine] += 1
        waiting = sum(other.ready for other in self._runs)
        sharing = min(machine.engines, self._busy[machine] + waiting)
        return Assignment(run, task, slot, sharing, run.spoken, is_first)

    def _release(self, assignment: Assignment) -> None:
        machine = assignment.slot.machine
        self._busy[machine] -= 1
        if not self._busy[machine]:
            del self._busy[machine]

    def _count(self, model: ModelFile) -> int:
        return sum(slot.can_run(model) for slot in self._slots)

    def _count_for(self, run: Run) -> int:
        """Return how many engines may share a run."""
        return sum(devices.may_run(slot, run) for slot in self._slots)

    def _chunk_seconds(self, model: ModelFile) -> int:
        return max(self._config.decode.chunk_seconds, devices.chunk_seconds(self._slots, model))

    def _remove(self, run: Run) -> bool:
        if run not in self._runs:
            return False
        self._runs.remove(run)
        return True

    def _choose(
        self, slot: Slot, waiting: dict[int, bool], tried: set[_Claim]
    ) -> Run | _Claim | None:
        ready = [run for run in self._runs if run.ready]
        mine = [run for run in ready if devices.may_run(slot, run)]
        if len(ready) - len(mine) >= max(1, len(self._slots) // 2):
            # Enough that is claimed waits for other engines: first that, then the queue.
            waiting = {}
        mine = devices.left_to(slot, mine, self._runs, self._slots)
        users = {run.job.user_id for run in mine} | waiting.keys()
        self._keep_count(users)
        for user in sorted(users, key=lambda user: self._served[user]):
            claims = [_Claim(user, only_short) for only_short in (True, False)]
            can_be = waiting.get(user, False), user in waiting
            short, any_length = (
                [claim] if is_there and claim not in tried else []
                for claim, is_there in zip(claims, can_be, strict=True)
            )
            runs = [run for run in mine if run.job.user_id == user]
            short_runs = [run for run in runs if _is_short(run)]
            by_turn: list[Run | _Claim] = [*short_runs, *short, *runs, *any_length]
            if by_turn:
                return by_turn[0]
        return None

    def _claim(self, claim: _Claim) -> bool:
        without = self._without_engine
        job = queue.claim_next(claim.user_id, only_short=claim.only_short, without=without)
        if job is None:
            return False
        try:
            run = start(job, self._config, self._storage, self._chunk_seconds)
        except Exception as error:
            raise NotStarted(job, error) from error
        with self._lock:
            run.engines = self._count_for(run)
            if run.engines:
                self._runs.append(run)
                return True
            self._without_engine |= {job.key.model}
        raise NotStarted(job, Cancelled())

    def _keep_count(self, users: set[int]) -> None:
        """Start newcomers level with whoever was served least, and forget who is gone."""
        users = users | {run.job.user_id for run in self._runs}
        level = min((self._served[user] for user in users if user in self._served), default=0.0)
        self._served = {user: self._served.get(user, level) for user in users}


def _is_short(run: Run) -> bool:
    return seconds_of(run.job.samples) <= SHORT_SECONDS
