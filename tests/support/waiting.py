"""Wait for a condition."""

import time
from collections.abc import Callable
from typing import Any

INTERVAL = 0.02


def until(check: Callable[[], Any], seconds: float = 60) -> None:
    """Check again and again until it holds. Raises AssertionError after so many seconds."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(INTERVAL)
