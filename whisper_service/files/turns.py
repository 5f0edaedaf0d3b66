"""Whose file is converted next, so that nobody waits for all the files of somebody else."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from whisper_service.tables import File


def next_file(
    waiting: Sequence[File],
    length: Callable[[File], float],
    served: Mapping[int, float],
    under_way: Mapping[int, int],
) -> File | None:
    """Return the file to convert next: the shortest one of whoever comes first, then the oldest.

    `under_way` is how many files of a user are being converted, `served` how many seconds were
    spent on theirs: who has least of both comes first.
    """

    def turn(file: File) -> tuple[float, ...]:
        user = file.user_id
        return under_way.get(user, 0), served.get(user, 0.0), length(file), file.id

    return min(waiting, key=turn, default=None)


class Turns:
    """The files that threads have under way in one kind of conversion, and who was served."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, int] = {}  # the user's id by the file's uuid
        self._served: dict[int, float] = {}

    @contextmanager
    def take(
        self, find: Callable[[], Sequence[File]], length: Callable[[File], float]
    ) -> Iterator[File | None]:
        """Hold the next of the files that `find` returns, for one thread; None without any."""
        with self._lock:
            waiting = find()
            self._count(waiting)
            free = [file for file in waiting if file.uuid not in self._under_way]
            file = next_file(free, length, self._served, Counter(self._under_way.values()))
            if file:
                self._under_way[file.uuid] = file.user_id
        begun = time.monotonic()
        try:
            yield file
        finally:
            if file:
                self._put_back(file, time.monotonic() - begun)

    def _put_back(self, file: File, seconds: float) -> None:
        with self._lock:
            del self._under_way[file.uuid]
            self._served[file.user_id] = self._served.get(file.user_id, 0.0) + seconds

    def _count(self, waiting: Sequence[File]) -> None:
        """Let newcomers start level with whoever was served the least; forget who is gone."""
        users = {file.user_id for file in waiting} | set(self._under_way.values())
        level = min((self._served[user] for user in users if user in self._served), default=0.0)
        self._served = {user: self._served.get(user, level) for user in users}
