"""The time that an attempt may take in all."""

import time

from whisper_service.webhooks.cancellation import Cancellation


class Deadline:
    """The end of an attempt: after some seconds, or as soon as it is cancelled."""

    def __init__(self, seconds: float, cancellation: Cancellation) -> None:
        self._end = time.monotonic() + seconds
        self.cancellation = cancellation

    def left(self) -> float:
        """Return the seconds that are left. Raises TimeoutError when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left
