"""Tells requests that wait when a transcription may have changed."""

import threading

MAX_WAIT = 2.0  # seconds


class ChangeNotifier:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._is_closed = False

    def notify(self) -> None:
        """Wake everybody who waits for a change."""
        with self._changed:
            self._changed.notify_all()

    def wait_for_change(self, seconds: float) -> bool:
        """Wait until something may have changed. Return False when the service ends."""
        with self._changed:
            if not self._is_closed:
                self._changed.wait(min(seconds, MAX_WAIT))
            return not self._is_closed

    @property
    def is_closed(self) -> bool:
        """Whether the service ends."""
        return self._is_closed

    def close(self) -> None:
        """End all waiting: the service shuts down."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
