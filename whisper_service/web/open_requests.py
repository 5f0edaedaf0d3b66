"""The open requests for transcriptions that such requests queued."""

import threading
from collections import Counter


class OpenRequests:
    """Counts the open requests for each transcription that one of them queued.

    Whoever joins one, and whoever leaves it as the last, holds `lock`.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._open: Counter[str] = Counter()

    def join(self, uuid: str, *, is_queued_by_it: bool) -> None:
        if is_queued_by_it or uuid in self._open:
            self._open[uuid] += 1

    def leave(self, uuid: str) -> bool:
        """Return whether that was the last request for a transcription that one of them queued."""
        if uuid not in self._open:
            return False
        self._open[uuid] -= 1
        if self._open[uuid]:
            return False
        del self._open[uuid]
        return True
