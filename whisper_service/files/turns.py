"""Fair turns: whose file is converted next, so that no user waits for all files of another."""

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
    """Return the file to convert next: the shortest, then oldest one of the next user.

    That is the user with the fewest files being converted (`under_way`), then with the fewest
    seconds spent on them so far (`served`).
    """

    def turn(file: File) -> tuple[float, ...]:
        user = file.user_id
        return under_way.get(user, 0), served.get(user, 0.0), length(file), file.id

    return min(waiting, key=turn, default=None)


class Turns:
    """The files that threads are converting, in one kind of conversion, and the users' shares."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, int] = {}  # the user's id by the file's uuid
        self._served: dict[int, float] = {}

    @contextmanager
    def take(
        self, find: Callable[[], Sequence[File]], length: Callable[[File], float]
    ) -> Iterator[File | None]:
        """Reserve the next of the files that `find` returns for a thread; None if there is none."""
        with self._lock:
            waiting = find()
            self._update_shares(waiting)
            free = [file for file in waiting if file.uuid not in self._under_way]
            file = next_file(free, length, self._served, Counter(self._under_way.values()))
            if file:
                self._under_way[file.uuid] = file.user_id
        begun = time.monotonic()
        try:
            yield file
        finally:
            if file:
                self._release(file, time.monotonic() - begun)

    def _release(self, file: File, seconds: float) -> None:
        with self._lock:
            del self._under_way[file.uuid]
            self._served[file.user_id] = self._served.get(file.user_id, 0.0) + seconds

    def _update_shares(self, waiting: Sequence[File]) -> None:
        """Start new users at the smallest share, and forget users without files."""
        users = {file.user_id for file in waiting} | set(self._under_way.values())
        lowest = min((self._served[user] for user in users if user in self._served), default=0.0)
        self._served = {user: self._served.get(user, lowest) for user in users}
