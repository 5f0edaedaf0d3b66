"""The sound of recordings, extracted in the order of their names on the command line.

One thread finds out what they are, so that those that are no recordings fail early and the length
of all is known; others extract, not much more than the engines need next.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from whisper_service import db, ids
from whisper_service.audio import SAMPLE_RATE, seconds_of
from whisper_service.errors import Cancelled
from whisper_service.files import media, quota, transcoding
from whisper_service.files.media import Media
from whisper_service.files.storage import Storage
from whisper_service.jobs.changes import ChangeNotifier

POLL_INTERVAL = 0.25  # seconds
# How much audio is extracted, and how many recordings for each engine, so that no engine waits and
# the disk holds little: an hour takes 115 MB.
AHEAD_SECONDS, AHEAD_RECORDINGS = 3600, 3
THREADS = 2  # as in the service, so that short ones don't wait for a film


@dataclass(eq=False)
class Recording:
    """A recording until it ends. `seconds` is what it claims until it is extracted.

    `share` of it is transcribed; `took` is how many seconds its extraction took.
    """

    path: Path
    uuid: str = field(default_factory=ids.uuid7)
    media: "Future[Media]" = field(init=False)
    samples: "Future[int]" = field(init=False)
    is_begun: bool = False
    seconds: float = 0.0
    share: float = 0.0
    took: float = 0.0


class Extraction:
    """Makes the WAVs of recordings in a storage. `recordings` are those that have not ended."""

    def __init__(
        self, storage: Storage, max_seconds: int, engines: int, changes: ChangeNotifier
    ) -> None:
        self.recordings: list[Recording] = []
        self._storage = storage
        self._max_seconds = max_seconds
        self._most_ahead = AHEAD_RECORDINGS * engines
        self._changes = changes
        self._stopped = threading.Event()
        self._turn = threading.Lock()
        self._probing, self._extracting = ThreadPoolExecutor(1), ThreadPoolExecutor(THREADS)

    @property
    def is_busy(self) -> bool:
        """Whether a recording is being extracted."""
        return any(each.is_begun and not each.samples.done() for each in self.recordings)

    def start(self, paths: Sequence[Path]) -> None:
        self.recordings = [Recording(path) for path in paths]
        for recording in self.recordings:
            recording.media = self._probing.submit(self._probe, recording)
            recording.samples = self._extracting.submit(self._extract, recording)

    def remove(self, recording: Recording) -> None:
        """Forget a recording, which leaves room for the next one."""
        recording.samples.cancel()
        self.recordings.remove(recording)
        self._storage.delete(recording.uuid)
        self._changes.notify()

    def stop(self) -> None:
        """Cancel what is under way, and return when that has ended."""
        self._stopped.set()
        for pool in (self._probing, self._extracting):
            pool.shutdown(cancel_futures=True)

    def _probe(self, recording: Recording) -> Media:
        probed = media.probe(recording.path, self._is_running)
        recording.seconds = probed.length.seconds or 0
        self._changes.notify()
        return probed

    def _extract(self, recording: Recording) -> int:
        """Extract a recording when its turn has come.

        One that finds the disk full beside others is extracted again when they have ended. Raises
        StorageFull, or Cancelled when the disk is full then, too.
        """
        recording.media.result()
        with self._turn:
            self._wait_for_turn(recording)
        try:
            return self._make(recording)
        except (Cancelled, OSError) as error:
            is_full = isinstance(error, Cancelled) or db.is_full(error)
            if not is_full or not self._is_running():
                raise
        recording.is_begun = False
        with self._turn:
            self._wait_while(lambda: any(each.is_begun for each in list(self.recordings)))
            recording.is_begun = True
            return self._make(recording)

    def _make(self, recording: Recording) -> int:
        probed, begun = recording.media.result(), time.monotonic()
        speech = self._storage.speech(recording.uuid)
        speech.parent.mkdir()
        try:
            samples = transcoding.extract(
                recording.path, probed, speech, self._max_seconds, self._may_extract
            )
        except BaseException:
            self._storage.delete(recording.uuid)  # the next one may fit
            raise
        recording.seconds, recording.took = seconds_of(samples), time.monotonic() - begun
        self._changes.notify()
        return samples

    def _wait_for_turn(self, recording: Recording) -> None:
        """Wait until a recording is wanted next. Raises StorageFull, Cancelled at the end."""
        seconds = min(recording.seconds, self._max_seconds)  # a longer one is refused in its turn
        size = 2 * quota.wav_bytes(round(seconds * SAMPLE_RATE))  # of a video, meanwhile
        self._wait_while(lambda: self._is_far_ahead(size))
        self._storage.ensure_room(size)
        recording.is_begun = True

    def _wait_while(self, holds: Callable[[], bool]) -> None:
        """Wait for changes. Raises Cancelled at the end."""
        while holds():
            self._changes.wait_for_change(POLL_INTERVAL)
            if not self._is_running():
                raise Cancelled

    def _is_far_ahead(self, size: int) -> bool:
        """Return whether the engines have enough to do, or the disk has room for `size` later."""
        begun = [each for each in list(self.recordings) if each.is_begun]
        left = sum(each.seconds * (1 - each.share) for each in begun)
        return bool(begun) and (
            len(begun) >= self._most_ahead
            or left >= AHEAD_SECONDS
            or not self._storage.has_room(size)
        )

    def _is_running(self) -> bool:
        return not self._stopped.is_set()

    def _may_extract(self) -> bool:
        return self._is_running() and self._storage.has_room()
