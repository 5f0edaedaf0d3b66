"""What becomes of a recording whose transcription was queued."""

import logging
from dataclasses import replace
from pathlib import Path

from whisper_service import billing
from whisper_service.config import Config
from whisper_service.errors import InvalidRequest, NotFound
from whisper_service.jobs import checkpoints, orders
from whisper_service.tables import Transcription
from whisper_service.watch import records, writing
from whisper_service.watch.records import Delayed, Recording
from whisper_service.watch.submitting import DELETED, UNPAID

logger = logging.getLogger(__name__)


def finish(recording: Recording, config: Config) -> None:
    """Write the results of a queued recording if its transcription is completed.

    Raises NotFound for one that was deleted, InvalidRequest for one that failed, Delayed when only
    the balance was insufficient, and what `writing.write` raises.
    """
    row = orders.find(str(recording.transcription_uuid))
    if row is None:
        raise NotFound(DELETED)
    if row.status == "failed":
        _give_up(recording, row)
    elif transcript := orders.transcript_of(row):
        results = writing.render(transcript, config.watch.formats)
        writing.write(writing.remember(recording, results), results, Path(config.watch.path))
        logger.info("Watched folder: %s was transcribed", recording.shown)


def _give_up(recording: Recording, row: Transcription) -> None:
    """Forget a failed transcription if another one can help, or raise its error."""
    if row.error_code not in {billing.INSUFFICIENT_BALANCE, checkpoints.ABANDONED}:
        raise InvalidRequest(str(row.error))
    records.save(replace(recording, transcription_uuid=None))
    if row.error_code == billing.INSUFFICIENT_BALANCE:
        raise Delayed(UNPAID)
