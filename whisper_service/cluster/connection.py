"""A connection to the scheduler of a Dask cluster."""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

from distributed import Client, Future
from distributed.security import Security

CONNECT_SECONDS = 5
# How long the scheduler may take to say who is there.
ANSWER_SECONDS = 10

# What these have to say comes to the service as an exception.
for name in ("distributed", "distributed.client", "tornado.application"):
    logging.getLogger(name).setLevel(logging.CRITICAL)


class Call:
    """A task that was given to a worker."""

    def __init__(self, future: "Future[Any]") -> None:
        self._future = future
        self._done = threading.Event()
        future.add_done_callback(lambda _: self._done.set())

    def wait(self, seconds: float) -> bool:
        """Wait for the result. Return whether it is there, or never will be."""
        return self._done.wait(seconds) or self._future.status != "pending"

    def result(self) -> Any:  # noqa: ANN401 - whatever the task returns
        """Return the result once it is there. Raises OSError without one."""
        try:
            return self._future.result(timeout=ANSWER_SECONDS)
        except Exception as error:
            raise ConnectionError(f"A task of the cluster failed: {error}") from error

    def end(self) -> None:
        """Cancel the task if it isn't done, and forget the result."""
        with suppress(Exception):  # of a connection that is closed, whose tasks end anyway
            if not self._future.done():
                self._future.cancel(reason="not wanted")
            self._future.release()


class Connection:
    """A connection that is of no use once anything raised OSError. Safe for threads.

    Raises OSError when the scheduler cannot be reached.
    """

    def __init__(self, url: str, security: Security) -> None:
        self._client = Client(url, security=security, timeout=CONNECT_SECONDS, set_as_default=False)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(Exception):
            self._client.close(timeout=CONNECT_SECONDS)

    def workers(self) -> dict[str, dict[str, Any]]:
        """Return what the scheduler knows of each worker, by address. Raises OSError."""

        async def ask() -> dict[str, Any]:
            async with asyncio.timeout(ANSWER_SECONDS):
                scheduler: Any = self._client.scheduler
                return dict(await scheduler.identity(n_workers=-1))

        if self._client.status != "running":
            raise ConnectionError("The connection to the scheduler is closed")
        found: dict[str, dict[str, Any]] = self._client.sync(ask)["workers"]
        return found

    def call(self, address: str, function: Callable[..., Any], *arguments: object) -> Call:
        """Give a task to the worker of an address, and to no other. Raises OSError."""
        try:
            with self._lock:
                future = self._client.submit(
                    function,
                    *arguments,
                    workers=[address],
                    allow_other_workers=False,
                    pure=False,
                    retries=0,
                )
        except Exception as error:  # Dask's own, once the connection is closed
            raise ConnectionError(f"A task cannot be given to the cluster: {error}") from error
        return Call(future)
