"""Threads that do background work step by step, and whether they are alive."""

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from whisper_service import db
from whisper_service.errors import Unavailable

POLL_INTERVAL = 2.0  # seconds
# A thread without a heartbeat for so long is stuck; probing a hostile file takes a minute.
MAX_SILENCE = 150.0  # seconds

logger = logging.getLogger(__name__)


class WorkerThreads:
    """Threads that each repeat a step, and sleep while it finds nothing to do."""

    def __init__(self, number: int) -> None:
        self._pool = ThreadPoolExecutor(number, thread_name_prefix="worker")
        self._loops: list[Future[bool]] = []  # each returns whether it ended as it was asked to
        self._heartbeats: dict[int, float] = {}
        self._wake_event = threading.Condition()
        self._wake_count = 0
        self._stopped = threading.Event()

    def repeat(
        self,
        step: Callable[[], bool],
        on_idle: Callable[[float], None] | None = None,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """Repeat a step in a thread of its own while it `goes_on`, at most until the end.

        The step returns whether it found anything to do. `on_idle` is called with the seconds
        since it last did.
        """
        self._loops = [loop for loop in self._loops if not _has_ended(loop)]
        self._loops.append(self._pool.submit(self._loop, step, on_idle, goes_on))

    def wake(self) -> None:
        """Wake the sleeping threads: there may be work."""
        with self._wake_event:
            self._wake_count += 1
            self._wake_event.notify_all()

    def heartbeat(self) -> bool:
        """Return whether to go on. Also records a heartbeat if one of the threads asks."""
        if (thread := threading.get_ident()) in self._heartbeats:
            self._heartbeats[thread] = time.monotonic()
        return not self._stopped.is_set()

    def keep(self, write: Callable[[], None]) -> None:
        """Write a result. On a full disk, wait until there is room."""
        is_waiting = False
        while True:
            try:
                return write()
            except Exception as error:
                if not db.is_full(error) or not self.heartbeat():
                    raise
                if not is_waiting:
                    logger.warning("The disk is full: a result waits for room")
                is_waiting = True
                self._stopped.wait(POLL_INTERVAL)

    def check(self) -> None:
        """Raise Unavailable when a thread has ended or has no heartbeat any more."""
        oldest = time.monotonic() - MAX_SILENCE
        if (
            any(loop.done() and not _has_ended(loop) for loop in self._loops)
            or min(self._heartbeats.copy().values(), default=oldest) < oldest
        ):
            raise Unavailable("The worker is stuck")

    def begin_stop(self) -> None:
        self._stopped.set()
        self.wake()

    def join(self) -> None:
        self._pool.shutdown()

    def _loop(
        self,
        step: Callable[[], bool],
        on_idle: Callable[[float], None] | None,
        goes_on: Callable[[], bool],
    ) -> bool:
        self._heartbeats[threading.get_ident()] = last_found = time.monotonic()
        while self.heartbeat() and goes_on():
            wake_count = self._wake_count
            if _succeeds(step):
                last_found = time.monotonic()
                continue
            if on_idle:
                on_idle(time.monotonic() - last_found)
            self._sleep(wake_count)
        del self._heartbeats[threading.get_ident()]
        return not goes_on()

    def _sleep(self, wake_count: int) -> None:
        """Sleep unless `wake` was called since `wake_count` was read."""
        with self._wake_event:
            self._wake_event.wait_for(lambda: self._wake_count != wake_count, POLL_INTERVAL)


def _has_ended(loop: "Future[bool]") -> bool:
    """Return whether a loop ended because it was not to go on."""
    return loop.done() and not loop.exception() and loop.result()


def _succeeds(step: Callable[[], bool]) -> bool:
    """Return whether a step found anything to do; one that fails is tried again later."""
    try:
        return step()
    except Exception as error:
        if db.is_full(error):
            logger.warning("The disk is full: the work waits for room")
        else:
            logger.exception("A step of the worker failed")
        return False
