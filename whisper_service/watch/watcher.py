"""What is done at each look at the watched folder."""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePath

from whisper_service import db
from whisper_service.config import Config
from whisper_service.errors import (
    Cancelled,
    ServiceError,
    StorageFull,
    TooManyRequests,
    Unauthenticated,
)
from whisper_service.files.storage import Storage
from whisper_service.watch import finishing, looking, records, submitting, writing
from whisper_service.watch.looking import Stillness
from whisper_service.watch.records import Changed, Recording
from whisper_service.watch.submitting import Order

# After which what could not be done is tried again, and after which it is logged again.
RETRY_SECONDS, REMIND_SECONDS = 60.0, 3600.0
# Recordings that are transcribed at a time: enough for all engines, and the folder fills neither
# the account's queue nor the disk ahead of time.
MAX_QUEUED = 20
# For how long recordings are submitted before what was completed meanwhile is written.
SUBMIT_SECONDS = 10.0

FULL = "The server's disk is full"  # as the text of StorageFull

# What happens to a recording or the account between two looks, and is seen at the next one.
_SHOWN_LATER = (Changed, Unauthenticated)

logger = logging.getLogger(__name__)


class Watcher:
    """Watches the folder of `[watch] path`.

    `wake` is called when there is work for the worker, `is_wanted` returns whether to go on, `now`
    the seconds since 1970.
    """

    def __init__(
        self,
        config: Config,
        storage: Storage,
        wake: Callable[[], None],
        is_wanted: Callable[[], bool] = lambda: True,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._storage = storage
        self._wake = wake
        self._is_wanted = is_wanted
        self._now = now
        self._stillness = Stillness()
        self._submit_at = 0.0
        self._retry_at: dict[str, float] = {}
        self._warned_at: dict[str, float] = {}

    def look_once(self) -> bool:
        """Look at the folder, and do what is to be done. Return whether more is about to be.

        Raises Cancelled when it is not to go on.
        """
        try:
            found = looking.look(Path(self._config.watch.path))
        except OSError as error:
            self._warn("the folder", f"It cannot be read: {error.strerror}")
            return False
        if found.problem:
            self._warn("a part", found.problem)
        still = self._stillness.update(found.recordings, self._now())
        paths = self._retry_at.keys() & found.recordings.keys()
        self._retry_at = {path: self._retry_at[path] for path in paths}
        return self._advance(records.current(found), still)

    def warn_full(self) -> None:
        self._warn(FULL, FULL)

    def _advance(self, recordings: Sequence[Recording], still: set[str]) -> bool:
        """Do what is to be done with recordings; return whether more is about to be."""
        unfinished = [each for each in recordings if not each.is_done]
        queued = [each for each in unfinished if each.is_queued]
        for recording in queued:
            self._try(self._finish, recording)
        new = [each for each in unfinished if not each.is_queued and each.path in still]
        submitted = self._submit_all(new, {each.stem for each in queued})
        return bool(queued or submitted) or any(each.path not in still for each in unfinished)

    def _submit_all(self, recordings: Sequence[Recording], queued: set[PurePath]) -> bool:
        """Submit recordings until MAX_QUEUED are; return whether any was.

        `queued` are the stems of those that are: another one of the same stem has to wait until
        their results are written.
        """
        before = len(queued)
        if recordings and not self._waits(self._submit_at):
            try:
                self._submit_some(recordings, queued)
            except ServiceError as error:  # which hinders all recordings alike
                is_busy = isinstance(error, TooManyRequests)
                self._warn("the queue" if is_busy else str(error), str(error))
                self._submit_at = self._now() + RETRY_SECONDS
        return len(queued) > before

    def _submit_some(self, recordings: Sequence[Recording], queued: set[PurePath]) -> None:
        order = submitting.prepare(self._config)
        until = self._now() + SUBMIT_SECONDS
        for recording in recordings:
            if len(queued) >= MAX_QUEUED or self._now() > until:
                return
            if recording.stem not in queued and self._try(partial(self._submit, order), recording):
                queued.add(recording.stem)

    def _submit(self, order: Order, recording: Recording) -> None:
        settings = self._config.watch
        writing.check_free(recording, settings.formats, Path(settings.path))
        if recording.file_uuid is None:
            recording = submitting.upload(
                recording, order.user, self._config, self._storage, self._is_wanted
            )
        submitting.queue(recording, order, self._config.limits)
        self._wake()

    def _finish(self, recording: Recording) -> None:
        finishing.finish(recording, self._config)

    def _try(self, step: Callable[[Recording], None], recording: Recording) -> bool:
        """Take a step with a recording unless that has to wait. Return whether it succeeded."""
        if self._waits(self._retry_at.get(recording.path, 0)):
            return False
        try:
            step(recording)
        except (Cancelled, TooManyRequests):  # which end this look
            raise
        except Exception as error:
            self._retry_at[recording.path] = self._now() + RETRY_SECONDS
            if isinstance(error, StorageFull) or db.is_full(error):
                self.warn_full()
            elif not isinstance(error, ServiceError):
                logger.exception("Watched folder: %s", recording.shown)
            elif not isinstance(error, _SHOWN_LATER):
                records.report(recording, error)
            return False
        return True

    def _waits(self, until: float) -> bool:
        """Return whether to wait for a time; a clock that was set back holds up nothing."""
        return 0 < until - self._now() <= RETRY_SECONDS

    def _warn(self, about: str, text: str) -> None:
        """Log what hinders more than one recording, unless it was logged in the last hour."""
        if abs(self._now() - self._warned_at.get(about, -REMIND_SECONDS)) >= REMIND_SECONDS:
            self._warned_at[about] = self._now()
            logger.warning("Watched folder: %s", text)
