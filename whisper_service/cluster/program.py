"""What the programs of a cluster have in common."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress

import dask

from whisper_service import logs
from whisper_service.errors import CommandError

# Dask always listens for HTTP, too, without TLS: here for this machine alone, with nothing to show.
STATUS_ADDRESS = "127.0.0.1:0"
CANCEL_SECONDS = 5  # until it is cancelled once more
SETTINGS = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.scheduler.work-stealing": False,  # each task is for one machine
    "distributed.scheduler.worker-ttl": "60s",
}


def main(command: Callable[[], None]) -> None:
    """Run a command, and exit."""
    os.umask(0o077)
    logs.set_up()
    logging.getLogger("distributed").setLevel(logging.ERROR)
    try:
        with dask.config.set(SETTINGS):
            command()
    except CommandError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error.strerror or error}")


def run(work: Coroutine[None, None, None]) -> None:
    """Do work until SIGTERM or Ctrl-C cancels it."""

    async def cancellable() -> None:
        task, stopped = asyncio.ensure_future(work), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        stopping = asyncio.ensure_future(stopped.wait())
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        while not task.done():  # Dask takes a cancellation for an error while it starts
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_SECONDS)
        with suppress(asyncio.CancelledError):
            task.result()

    asyncio.run(cancellable())
