"""Transcripts as their owners corrected them, each for one transcription."""

from collections.abc import Sequence

from whisper_service import credentials, search_index
from whisper_service.db import write_transaction
from whisper_service.errors import Conflict, NotFound
from whisper_service.jobs import orders
from whisper_service.tables import Correction, Transcription, User
from whisper_service.transcripts.correcting import CorrectedSegment, corrected
from whisper_service.transcripts.transcript import Transcript


def correct(user: User, uuid: str, wanted: Sequence[CorrectedSegment], revision: int) -> int:
    """Replace the segments of a completed transcription; return the new revision.

    `revision` is the one that was corrected. Raises NotFound for one that is not the user's,
    Conflict for one that is not completed or has another revision by now, InvalidRequest for
    segments that no transcript can have, Unauthenticated for credentials that were revoked
    meanwhile.
    """
    row = _find(user, uuid, revision)
    stored = orders.load(row, original=True)
    if stored is None:
        raise NotFound("Transcription not found or access denied")
    transcript = corrected(Transcript.from_json(stored), wanted)
    data, entries = transcript.to_json(), search_index.entries(user.id, transcript)
    with write_transaction():
        row = _find(credentials.confirm(user), uuid, revision)
        Correction.delete().where(Correction.transcription_id == row.id).execute()
        Correction.create(transcription_id=row.id, data=data)
        Transcription.update(revision=revision + 1).where(Transcription.id == row.id).execute()
        search_index.remove_deleted()
        search_index.add(entries, correction_of=row.id)
    return revision + 1


def _find(user: User, uuid: str, revision: int) -> Transcription:
    row = orders.find(uuid)
    if row is None or row.user_id != user.id:
        raise NotFound("Transcription not found or access denied")
    if row.status != "completed":
        raise Conflict(f"The transcription is {row.status}")
    if row.revision != revision:
        raise Conflict(f"The transcription has revision {row.revision} by now, not {revision}")
    return row
