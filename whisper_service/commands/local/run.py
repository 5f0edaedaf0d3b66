"""Transcribing files where they are: the service's own work, over a temporary storage."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from whisper_service import db, ids
from whisper_service.commands.local.extraction import POLL_INTERVAL, Extraction, Recording
from whisper_service.config import ClusterSettings, Config, LimitsSettings
from whisper_service.errors import Cancelled, ServiceError, StorageFull
from whisper_service.files.storage import Storage
from whisper_service.jobs import orders
from whisper_service.jobs.orders import TranscriptionRequest
from whisper_service.jobs.progress import Processing
from whisper_service.jobs.worker import Worker
from whisper_service.tables import File, Transcription, User
from whisper_service.transcripts.transcript import Transcript

# Extraction leaves the first free for the database. Without the second nothing can go on, unless an
# extraction that is under way makes room by failing.
RESERVE_BYTES, LEAST_BYTES = 64 * 1024**2, 1024**2
# Extraction keeps the queue short.
NO_LIMITS = LimitsSettings(unfinished_per_user=10**6)


@dataclass(frozen=True)
class Ended:
    """The `transcript` of a recording, which took `took` seconds, or the `error` without one."""

    path: Path
    transcript: Transcript | None = None
    took: float = 0.0
    error: str = ""


@contextmanager
def started(
    config: Config, request: TranscriptionRequest, paths: Sequence[Path]
) -> Iterator["LocalRun"]:
    """Start to transcribe files. On exit all of it ends, and its temporary folder is removed.

    Raises StorageFull.
    """
    try:
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="whisper-service-"))
            storage = Storage(Path(folder).resolve(), RESERVE_BYTES)
            db.open_database(storage.database)
            stack.callback(db.database.close)
            # A cluster is for services: these engines are here.
            worker = Worker(replace(config, cluster=ClusterSettings()), storage)
            stack.callback(worker.stop)
            seconds = config.media.max_duration_seconds
            extraction = Extraction(storage, seconds, len(worker.engines), worker.changes)
            stack.callback(extraction.stop)
            stack.callback(worker.begin_stop)
            worker.start_engines()
            extraction.start(paths)
            yield LocalRun(storage, worker, extraction, request)
    except Exception as error:
        if db.is_full(error):
            raise _disk_full() from error
        raise


class LocalRun:
    """The transcriptions of recordings that are extracted."""

    def __init__(
        self,
        storage: Storage,
        worker: Worker,
        extraction: Extraction,
        request: TranscriptionRequest,
    ) -> None:
        self._storage = storage
        self._worker = worker
        self._extraction = extraction
        self._request = request
        self._user = User.create(
            uuid=ids.uuid7(), username="local", password_hash="", registered_at=0, price_micros=0
        )
        self._rows: dict[Recording, str] = {}  # the uuids of the transcriptions
        self._begun: dict[Recording, float] = {}
        self._ended_seconds = 0.0

    @property
    def is_done(self) -> bool:
        return not self._extraction.recordings

    def progress(self) -> tuple[float, float]:
        """Return how many seconds of audio are transcribed, and how many there are in all."""
        left = self._extraction.recordings
        done = sum(recording.share * recording.seconds for recording in left)
        total = sum(recording.seconds for recording in left)
        return self._ended_seconds + done, self._ended_seconds + total

    def poll(self) -> list[Ended]:
        """Wait a moment for a change, and return what has ended. Raises StorageFull."""
        self._worker.changes.wait_for_change(POLL_INTERVAL)
        if not self._extraction.is_busy and self._storage.free() < LEAST_BYTES:
            raise _disk_full()
        recordings = list(self._extraction.recordings)
        return [ended for recording in recordings if (ended := self._advance(recording))]

    def _advance(self, recording: Recording) -> Ended | None:
        try:
            if recording.media.done():
                recording.media.result()
            if recording in self._rows:
                return self._look(recording)
            if recording.samples.done():
                self._submit(recording, recording.samples.result())
        except (ServiceError, OSError, Cancelled) as error:
            return self._end(recording, Ended(recording.path, error=_reason(error)))
        return None

    def _submit(self, recording: Recording, samples: int) -> None:
        probed = recording.media.result()
        File.create(
            uuid=recording.uuid,
            user_id=self._user.id,
            kind=probed.kind,
            status="ready",
            content_type=probed.content_type,
            samples=samples,
            hash=2 * recording.uuid,  # this and the rest are required, but nothing reads them here
            filename="",
            size_bytes=1,
            uploaded_at=0,
        )
        (row,) = orders.submit(self._user, recording.uuid, self._request, NO_LIMITS)
        self._rows[recording], self._begun[recording] = row.uuid, time.monotonic()
        self._worker.wake()

    def _look(self, recording: Recording) -> Ended | None:
        row = orders.find(self._rows[recording])
        assert row
        if row.status == "failed":
            return self._end(recording, Ended(recording.path, error=str(row.error)))
        if row.status == "completed":
            return self._complete(recording, row)
        if row.status == "pending":
            self._begun[recording] = time.monotonic()
        else:
            progress = self._worker.progress.of([row])[row.id]
            assert isinstance(progress, Processing)
            recording.share = max(recording.share, progress.share)
        return None

    def _complete(self, recording: Recording, row: Transcription) -> Ended:
        self._ended_seconds += recording.seconds
        took = recording.took + time.monotonic() - self._begun[recording]
        return self._end(recording, Ended(recording.path, orders.transcript_of(row), took))

    def _end(self, recording: Recording, ended: Ended) -> Ended:
        self._extraction.remove(recording)
        return ended


def _disk_full() -> StorageFull:
    """Return the error for a temporary folder without room."""
    folder = tempfile.gettempdir()
    return StorageFull(f"The disk of {folder} is full; TMPDIR=/another/folder takes another one")


def _reason(error: Exception) -> str:
    if isinstance(error, StorageFull | Cancelled) or db.is_full(error):
        return str(_disk_full())
    return str(error.strerror if isinstance(error, OSError) else error)
