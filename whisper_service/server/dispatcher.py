"""The threads that answer requests: a pool for each kind of work, and turns between clients.

Waitress has one queue for all. There a few uploads hold every thread, and whoever sends most is
served most. Queues need no bound of their own: a connection has one request in them.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

# The pool of requests that are answered at once; there is always one.
SHORT = "short"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PoolSize:
    """`threads` in all, of which requests from one address hold at most `per_address`."""

    threads: int
    per_address: int


class Task(Protocol):
    """A connection whose next request has been received whole."""

    @property
    def pool(self) -> str:
        """Return the name of the pool that serves it."""

    @property
    def client(self) -> str:
        """Return the address that it takes turns for."""

    def service(self) -> None:
        """Answer the request."""

    def cancel(self) -> None:
        """End the connection instead."""


class FairQueue:
    """Tasks that wait, taken in turns between addresses (round robin).

    Of one address at most `per_address` are taken before one of them is done.
    """

    def __init__(self, per_address: int) -> None:
        self._per_address = per_address
        self._waiting: dict[str, deque[Task]] = {}  # whose turn comes first is first
        self._running: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._is_closed = False

    def put(self, address: str, task: Task) -> None:
        with self._changed:
            self._waiting.setdefault(address, deque()).append(task)
            self._changed.notify()

    def take(self) -> tuple[str, Task] | None:
        """Wait for a task and return it with its address; None once the queue is closed."""
        with self._changed:
            while not self._is_closed:
                address = self._next_address()
                if address is not None:
                    return address, self._pop(address)
                self._changed.wait()
        return None

    def done(self, address: str) -> None:
        """Note that a task of an address that was taken has been served."""
        with self._changed:
            self._running[address] -= 1
            if not self._running[address]:
                del self._running[address]
            self._changed.notify()

    def close(self) -> list[Task]:
        """Let nobody take another task. Return those that are left."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            left = [task for tasks in self._waiting.values() for task in tasks]
            self._waiting.clear()
        return left

    def _next_address(self) -> str | None:
        free = (each for each in self._waiting if self._running[each] < self._per_address)
        return next(free, None)

    def _pop(self, address: str) -> Task:
        tasks = self._waiting.pop(address)
        task = tasks.popleft()
        if tasks:
            self._waiting[address] = tasks  # behind all others
        self._running[address] += 1
        return task


class Dispatcher:
    """Serves tasks in threads, as waitress's own dispatcher does."""

    def __init__(self, sizes: Mapping[str, PoolSize]) -> None:
        self._queues = {name: FairQueue(size.per_address) for name, size in sizes.items()}
        self._threads = [
            threading.Thread(target=_serve, args=(self._queues[name],), name=f"{name}-{number}")
            for name, size in sizes.items()
            for number in range(size.threads)
        ]
        for thread in self._threads:
            thread.daemon = True
            thread.start()

    def add_task(self, task: Task) -> None:
        self._queues[task.pool].put(task.client, task)

    def shutdown(self, timeout: float = 5) -> None:
        """Cancel what waits, and wait at most `timeout` seconds for what is being served."""
        left = [task for queue in self._queues.values() for task in queue.close()]
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))
        for task in left:
            task.cancel()
        running = sum(thread.is_alive() for thread in self._threads)
        if left or running:
            logger.warning("%d requests were cancelled, %d are still running", len(left), running)


def _serve(queue: FairQueue) -> None:
    while taken := queue.take():
        address, task = taken
        try:
            task.service()
        except BaseException:
            logger.exception("A request failed")
        finally:
            queue.done(address)
