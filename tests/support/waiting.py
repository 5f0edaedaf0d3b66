"""Wait for a condition, or observe something meanwhile."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

INTERVAL = 0.02


def until(check: Callable[[], Any], seconds: float = 60) -> None:
    """Check again and again until it holds. Raises AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(INTERVAL)


@contextmanager
def repeating(step: Callable[[], object], pause: float) -> Iterator[None]:
    """Repeat a step in a thread, with a pause in seconds after each."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(pause):
            step()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
