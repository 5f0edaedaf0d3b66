"""Ending what blocks in other threads."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from whisper_service.errors import Cancelled


class Cancellation:
    """What to call so that blocked threads go on; all of it is called once, at the end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._callbacks: dict[object, Callable[[], object]] = {}
        self.is_cancelled = False

    @contextmanager
    def unblock(self, callback: Callable[[], object]) -> Iterator[None]:
        """Call `callback` if `cancel` is called meanwhile. Raises Cancelled if it was before."""
        key = object()
        with self._lock:
            if self.is_cancelled:
                raise Cancelled
            self._callbacks[key] = callback
        try:
            yield
        finally:
            with self._lock:
                del self._callbacks[key]

    def cancel(self) -> None:
        with self._lock:
            self.is_cancelled = True
            for callback in self._callbacks.values():
                callback()
