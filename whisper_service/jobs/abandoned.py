"""Transcriptions that are ended because the client that waited for them is gone.

What was transcribed is paid and kept in the checkpoints, so that a client that repeats its request
gets the rest for the rest of the price.
"""

from whisper_service import billing, credentials
from whisper_service.config import LimitsSettings
from whisper_service.db import write_transaction
from whisper_service.files import library
from whisper_service.jobs import checkpoints, orders
from whisper_service.jobs.orders import TranscriptionRequest
from whisper_service.tables import UNFINISHED, Transcription, User

MESSAGE = "The client closed the connection"


def abandon(uuid: str) -> None:
    """Fail a transcription, unless it has ended; whoever runs it sees that and stops."""
    with write_transaction():
        row = Transcription.get_or_none(
            Transcription.uuid == uuid, Transcription.status.in_(UNFINISHED)
        )
        if row is None:
            return
        if row.status == "processing":
            billing.refund_rest(row)
        _set(row, status="failed", error=MESSAGE, error_code=checkpoints.ABANDONED)


def resume(
    user: User, file_uuid: str, request: TranscriptionRequest, limits: LimitsSettings
) -> Transcription | None:
    """Queue the user's newest equal transcription that was abandoned, if there is one.

    Raises NotFound for a file that is not the user's, TooManyRequests when too many are unfinished,
    Unauthenticated for credentials that were revoked meanwhile.
    """
    with write_transaction():
        file = library.find_owned(credentials.confirm(user), file_uuid)
        row: Transcription | None = (
            Transcription.select()
            .where(
                *request.key(file_uuid).matching(Transcription),
                Transcription.user_id == user.id,
                Transcription.error_code == checkpoints.ABANDONED,
            )
            .order_by(Transcription.id.desc())
            .first()
        )
        if row:
            orders.check_unfinished(file, 1, limits)
            _set(row, status="pending", error=None, error_code=None)
    return row


def _set(row: Transcription, **values: object) -> None:
    Transcription.update(**values).where(Transcription.id == row.id).execute()
