"""Which task an engine takes next, so that nobody waits behind somebody else's long recording."""

import threading
from collections.abc import Callable

from whisper_service import jobs
from whisper_service.jobs import SHORT_SECONDS, Job
from whisper_service.protocol import Answer
from whisper_service.runs import SAMPLE_RATE, Progress, Run, Task


class Board:
    """The runs that are under way, for all engines.

    Between users, whoever was served the least comes first; of a user's work the short, then the
    oldest. `start` makes a run of a job, or None of one that cannot run.
    """

    def __init__(self, engines: int, start: Callable[[Job], Run | None]) -> None:
        self._engines = engines
        self._start = start
        self._runs: list[Run] = []
        self._served: dict[int, float] = {}
        self._busy = 0
        self._lock = threading.Lock()

    def take(self, engine: int) -> tuple[Run, Task, int] | None:
        """Hand a task to an engine, by its number, and tell how many share the cores then."""
        with self._lock:
            run = self._next_run(engine)
            if run is None:
                return None
            task = run.take()
            self._served[run.job.user_id] += task.seconds
            self._busy += 1
            waiting = sum(other.ready for other in self._runs)
            return run, task, min(self._engines, self._busy + waiting)

    def give(self, run: Run, task: Task, answer: Answer) -> bool:
        """Take back a task that is done. Tell whether its run is complete, and off the board."""
        with self._lock:
            self._busy -= 1
            run.give(task, answer)
            return run.is_complete and self._remove(run)

    def drop(self, run: Run) -> bool:
        """Take back a task that failed, and its run with it. True for the first of its tasks."""
        with self._lock:
            self._busy -= 1
            return self._remove(run)

    def progress(self, claim: str) -> Progress | None:
        """Tell how far the run of a claim has come; None when it is not on the board."""
        with self._lock:
            run = next((run for run in self._runs if run.job.claim == claim), None)
            return run.progress() if run else None

    def audio_left(self) -> float:
        """Sum up the seconds of audio that the runs have still to transcribe."""
        with self._lock:
            return sum(
                run.job.samples / SAMPLE_RATE * (1 - run.progress().share) for run in self._runs
            )

    def clear(self) -> list[Run]:
        """Take all runs off the board, and return them."""
        with self._lock:
            runs, self._runs = self._runs, []
        return runs

    def _remove(self, run: Run) -> bool:
        if run not in self._runs:
            return False
        self._runs.remove(run)
        return True

    def _next_run(self, engine: int) -> Run | None:
        ready = [run for run in self._runs if run.ready]
        if any(engine >= run.engines for run in ready):
            # What is claimed already waits for another engine: first that, then the queue.
            return next((run for run in ready if engine < run.engines), None)
        users = {run.job.user_id for run in ready} | set(jobs.waiting())
        self._keep_count(users)
        for user in sorted(users, key=lambda user: self._served[user]):
            mine = [run for run in ready if run.job.user_id == user]
            run = (
                next((run for run in mine if _is_short(run)), None)
                or self._claim(user, only_short=True)
                or next(iter(mine), None)
                or self._claim(user, only_short=False)
            )
            if run and engine < run.engines:
                return run
        return None

    def _claim(self, user: int, *, only_short: bool) -> Run | None:
        while job := jobs.claim_next(user, only_short=only_short):
            if run := self._start(job):
                self._runs.append(run)
                return run
        return None

    def _keep_count(self, users: set[int]) -> None:
        """Let who comes anew start level with who was served the least; forget who is gone."""
        users = users | {run.job.user_id for run in self._runs}
        level = min((self._served[user] for user in users if user in self._served), default=0.0)
        self._served = {user: self._served.get(user, level) for user in users}


def _is_short(run: Run) -> bool:
    return run.job.samples <= SHORT_SECONDS * SAMPLE_RATE
