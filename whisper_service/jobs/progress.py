"""How far unfinished transcriptions are: their place in the queue, and the time left."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from whisper_service.audio import seconds_of
from whisper_service.db import database
from whisper_service.jobs.scheduler import Scheduler
from whisper_service.tables import File, Transcription

# Transcriptions that are read to estimate a place in the queue.
MAX_COUNTED = 1000
AHEAD = """
SELECT count(*), sum(file.samples) FROM (
    SELECT DISTINCT file_uuid FROM (
        SELECT file_uuid FROM transcription WHERE status = 'pending' AND id < ?
        ORDER BY id LIMIT ?
    ) WHERE file_uuid != ?
) JOIN file ON file.uuid = file_uuid
"""


@dataclass(frozen=True)
class Pending:
    """`eta_seconds` is None until the speed of the model is known."""

    queue_position: int
    eta_seconds: int | None


@dataclass(frozen=True)
class Processing:
    """`share` of the speech is transcribed; `text` is what was said so far, without a gap.

    It is None where it was left out.
    """

    share: float
    text: str | None
    eta_seconds: int | None


Progress = Pending | Processing


def without_long_texts(progress: Mapping[int, Progress], max_length: int) -> dict[int, Progress]:
    """Leave out the texts that, after the first one, would make more than `max_length` characters.

    Transcriptions that share a run have the same text.
    """
    length, shown = 0, dict(progress)
    for row_id, each in progress.items():
        if isinstance(each, Processing) and each.text:
            if length and length + len(each.text) > max_length:
                shown[row_id] = replace(each, text=None)
            else:
                length += len(each.text)
    return shown


class ProgressEstimator:
    """Estimates from the scheduler's runs, and from how fast each model was the last time."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._speeds: dict[str, float] = {}

    def record_speed(self, model: str, speed: float) -> None:
        """Note how many seconds of audio a model transcribes in a second."""
        self._speeds[model] = speed

    def of(self, rows: Sequence[Transcription]) -> dict[int, Progress]:
        """Return the progress of the unfinished among some transcriptions of one file, by id.

        All that are pending get the estimate of the first of them.
        """
        found: dict[int, Progress] = {
            row.id: self._processing(row) for row in rows if row.status == "processing"
        }
        pending = [row for row in rows if row.status == "pending"]
        if pending:
            ahead, samples = ahead_of(pending[0])
            found |= {row.id: self._pending(row, ahead, samples) for row in pending}
        return found

    def _pending(self, row: Transcription, ahead: int, samples: int) -> Pending:
        return Pending(ahead + 1, self._eta(row.model, samples, is_queued=True))

    def _processing(self, row: Transcription) -> Processing:
        progress = self._scheduler.progress(str(row.claim))
        share, text = (progress.share, progress.text) if progress else (0.0, "")
        left = (1 - share) * (row.samples or 0)
        return Processing(share, text, self._eta(row.model, left, is_queued=False))

    def _eta(self, model: str, samples: float, *, is_queued: bool) -> int | None:
        """Return the seconds until `samples` are transcribed; queued ones wait for what runs."""
        speed = self._speeds.get(model)
        if not speed:
            return None
        waiting = self._scheduler.audio_left() if is_queued else 0.0
        return math.ceil((seconds_of(samples) + waiting) / speed)


def ahead_of(row: Transcription) -> tuple[int, int]:
    """Return how many other files wait before a pending one, and all their samples with its own.

    An estimate: short ones and other users' may go first, and no more than MAX_COUNTED
    transcriptions are looked at.
    """
    cursor = database.execute_sql(  # type: ignore[no-untyped-call]
        AHEAD, (row.id, MAX_COUNTED, row.file_uuid)
    )
    count, samples = cursor.fetchone()
    own = File.get_or_none(File.uuid == row.file_uuid)
    return count, (samples or 0) + ((own and own.samples) or 0)
