"""A connection to the scheduler of a Dask cluster."""

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self

from distributed import Client, Future
from distributed.security import Security
from tornado.ioloop import IOLoop

CONNECT_SECONDS = 5
# How long the scheduler may take to say who is there.
ANSWER_SECONDS = 10
# How long to wait for the end of a connection's thread; one that looks up a name may take longer.
END_SECONDS = 10

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
        """Cancel the task if it isn't done, and forget the result.

        Dask cancels what nobody wants the result of. Unlike `cancel`, this waits for no event loop,
        which may just be ending.
        """
        with suppress(Exception):  # of a connection that is closed, whose tasks end anyway
            self._future.release()


class _Loop:
    """An event loop in a thread of its own, which ends with everything that runs in it.

    A client leaves the thread of a loop of its own behind, with some files, whenever it cannot
    connect or has lost its connection.
    """

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cluster connection", daemon=True)
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        self.loop.add_callback(self._stopped.set)
        self._thread.join(END_SECONDS)

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        self.loop, self._stopped = IOLoop.current(), asyncio.Event()
        self._ready.set()
        await self._stopped.wait()


class Connection:
    """A connection that is of no use once anything raised OSError. Safe for threads.

    Raises OSError when the scheduler cannot be reached.
    """

    def __init__(self, url: str, security: Security) -> None:
        self._loop = _Loop()
        try:
            self._client = Client(
                url,
                security=security,
                timeout=CONNECT_SECONDS,
                set_as_default=False,
                loop=self._loop.loop,
            )
        except BaseException:
            self._loop.stop()
            raise
        self._lock = threading.Lock()
        self._was_lost = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(Exception):
            self._client.close(timeout=CONNECT_SECONDS)
        self._loop.stop()

    @property
    def is_open(self) -> bool:
        """Return whether the connection is there. It stays lost even if Dask connects again.

        The machines then are to be found anew, and meanwhile get no tasks.
        """
        self._was_lost = self._was_lost or self._client.status != "running"
        return not self._was_lost

    def workers(self) -> dict[str, dict[str, Any]]:
        """Return what the scheduler knows of each worker, by address. Raises OSError."""

        async def ask() -> dict[str, Any]:
            async with asyncio.timeout(ANSWER_SECONDS):
                scheduler: Any = self._client.scheduler
                return dict(await scheduler.identity(n_workers=-1))

        if not self.is_open:
            raise ConnectionError("The connection to the scheduler is closed")
        found: dict[str, dict[str, Any]] = self._client.sync(ask)["workers"]
        return found

    def call(self, address: str, function: Callable[..., Any], *arguments: object) -> Call:
        """Return the call of a function by the worker of an address. Raises OSError."""
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
            return Call(future)
        except Exception as error:  # of several kinds, when the connection is closed just now
            raise ConnectionError(f"The connection to the scheduler is closed: {error}") from error
