"""The threads that answer requests: a pool for each kind of work, shared fairly among clients.

Waitress has one queue for all requests, in which a few uploads can hold every thread and the
busiest client is served most. The queues are bounded by the connections, each of which has at most
one request in them.
"""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PoolSize:
    """The number of threads, of which requests from one client hold at most `per_client`."""

    threads: int
    per_client: int


class Task(Protocol):
    """A connection whose next request has been received completely."""

    @property
    def pool(self) -> str:
        """Return the name of the pool that serves it."""

    @property
    def client(self) -> str:
        """Return the client that it is queued for."""

    def service(self) -> None:
        """Answer the request."""

    def cancel(self) -> None:
        """Close the connection instead."""


class FairQueue:
    """A queue of tasks that clients take turns in (round robin).

    At most `per_client` tasks of one client are taken before one of them is done.
    """

    def __init__(self, per_client: int) -> None:
        self._per_client = per_client
        self._waiting: dict[str, deque[Task]] = {}  # in the order of turns
        self._running: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._is_closed = False

    def put(self, client: str, task: Task) -> None:
        with self._changed:
            self._waiting.setdefault(client, deque()).append(task)
            self._changed.notify()

    def take(self) -> tuple[str, Task] | None:
        """Wait for a task and return it with its client, or None once the queue is closed."""
        with self._changed:
            while not self._is_closed:
                client = self._next_client()
                if client is not None:
                    return client, self._pop(client)
                self._changed.wait()
        return None

    def done(self, client: str) -> None:
        """Mark one taken task of a client as served."""
        with self._changed:
            self._running[client] -= 1
            if not self._running[client]:
                del self._running[client]
            self._changed.notify()

    def close(self) -> list[Task]:
        """Hand out no more tasks. Return those that are left."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
            left = [task for tasks in self._waiting.values() for task in tasks]
            self._waiting.clear()
        return left

    def _next_client(self) -> str | None:
        ready = (each for each in self._waiting if self._running[each] < self._per_client)
        return next(ready, None)

    def _pop(self, client: str) -> Task:
        tasks = self._waiting.pop(client)
        task = tasks.popleft()
        if tasks:
            self._waiting[client] = tasks  # the last turn
        self._running[client] += 1
        return task


class Dispatcher:
    """Serves tasks in threads, in place of waitress's own dispatcher."""

    def __init__(self, sizes: Mapping[str, PoolSize]) -> None:
        self._queues = {name: FairQueue(size.per_client) for name, size in sizes.items()}
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
        """Cancel the queued tasks, and wait at most `timeout` seconds for the running ones."""
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
        client, task = taken
        try:
            task.service()
        except BaseException:
            logger.exception("A request failed")
        finally:
            queue.done(client)
