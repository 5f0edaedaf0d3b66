"""Per-caller limits on password attempts."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from whisper_service.errors import TooManyRequests, Unauthenticated

MINUTE = 60.0
MAX_KEYS = 100_000


class FailureLimit:
    """Allows so many failures a minute for each key, counted over the minute that has passed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._failures: dict[str, deque[float]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def attempt(self, key: str) -> Iterator[None]:
        """Count an attempt as a failure until it has ended in anything but Unauthenticated.

        Raises TooManyRequests when the key has none left: attempts under way count as well, so
        that many at once are no way around.
        """
        now = time.monotonic()
        with self._lock:
            self._begin(key, now)
        try:
            yield
        except Unauthenticated:
            raise
        except BaseException:
            self._forgive(key, now)
            raise
        self._forgive(key, now)

    def _forgive(self, key: str, moment: float) -> None:
        with self._lock, suppress(KeyError, ValueError):
            self._failures[key].remove(moment)

    def _begin(self, key: str, now: float) -> None:
        if len(self._failures) >= MAX_KEYS:
            self._forget(now)
        failures = self._failures.setdefault(key, deque())
        while failures and failures[0] <= now - MINUTE:
            failures.popleft()
        if len(failures) >= self._most:
            seconds = int(failures[0] + MINUTE - now) + 1
            raise TooManyRequests(
                f"Too many failed attempts. Try again in {seconds} seconds", seconds
            )
        failures.append(now)

    def _forget(self, now: float) -> None:
        """Drop the keys whose failures are all old, and the oldest if none is."""
        recent = {
            key: failures
            for key, failures in self._failures.items()
            if failures and failures[-1] > now - MINUTE
        }
        for key in list(recent)[: max(0, len(recent) - MAX_KEYS // 2)]:
            del recent[key]
        self._failures = recent
