"""The user's side of transcriptions."""

import time
from collections.abc import Sequence

from whisper_service import billing, files, ids, languages
from whisper_service.db import database, write_transaction
from whisper_service.errors import InvalidRequest, NotFound
from whisper_service.formats import FORMATS
from whisper_service.model_files import ModelFile
from whisper_service.tables import File, StoredTranscript, Transcription, User
from whisper_service.transcript import Transcript


def submit(
    user: User, file_uuid: str, model: ModelFile, language: str, formats: Sequence[str]
) -> list[Transcription]:
    """Queue a transcription of a file for each format, the same format once.

    Raises NotFound for a file that is not the user's, InvalidRequest for formats or a language
    that are not there, or that the model cannot do.
    """
    _check_formats(formats)
    _check_language(model, language)
    with write_transaction():
        file = files.find_owned(user, file_uuid)
        if file.status == "failed" and file.samples is None:
            raise InvalidRequest(f"The file cannot be transcribed: {file.error}")
        return [
            Transcription.create(
                uuid=ids.uuid7(),
                user_id=user.id,
                file_uuid=file.uuid,
                model=model.name,
                model_version=model.version,
                language=language,
                format=name,
                created_at=int(time.time()),
            )
            for name in dict.fromkeys(formats)
        ]


# Asked for more often than anything else: written once, for Peewee needs 15 times as long for it
# as SQLite for the answer.
_QUERY = Transcription.select().where(Transcription.uuid == "")
_BY_UUID, _ = _QUERY.sql()
_NAMES = [column.name for column in _QUERY.selected_columns]


def find(uuid: str) -> Transcription | None:
    values = database.execute_sql(_BY_UUID, (uuid,)).fetchone()  # type: ignore[no-untyped-call]
    return Transcription(**dict(zip(_NAMES, values, strict=True))) if values else None


def find_of_file(file_uuid: str) -> list[Transcription]:
    """List a file's transcriptions, oldest first. Raises NotFound when there is no such file."""
    found = list(
        Transcription.select()
        .where(Transcription.file_uuid == file_uuid)
        .order_by(Transcription.id)
    )
    if not found and not File.select().where(File.uuid == file_uuid).exists():
        raise NotFound("Transcription not found")
    return found


def delete(user: User, uuid: str) -> Transcription:
    """Delete a transcription of the user's own, and return what it was. Raises NotFound.

    One that runs gives its tokens back; the worker sees that it is gone and stops.
    """
    with write_transaction():
        row = Transcription.get_or_none(
            Transcription.uuid == uuid, Transcription.user_id == user.id
        )
        if row is None:
            raise NotFound("Transcription not found or access denied")
        if row.status == "processing":
            billing.refund(row.uuid, str(row.claim))
        Transcription.delete().where(Transcription.id == row.id).execute()
    return row


def transcript_of(transcription: Transcription) -> Transcript | None:
    """Load what was heard; None until the transcription is completed."""
    if transcription.transcript_id is None:
        return None
    stored = StoredTranscript.get_by_id(transcription.transcript_id)
    return Transcript.from_json(stored.data)


def _check_formats(formats: Sequence[str]) -> None:
    if not formats:
        raise InvalidRequest("At least one format must be specified")
    for name in formats:
        if name not in FORMATS:
            known = ", ".join(FORMATS)
            raise InvalidRequest(f"Invalid format: {name}. Must be one of: {known}")


def _check_language(model: ModelFile, language: str) -> None:
    if language != "auto" and language not in languages.CODES:
        raise InvalidRequest(f"Invalid language: {language}")
    if model.is_english_only and language not in {"auto", "en"}:
        raise InvalidRequest(f"Model {model.name} knows English only, not {language}")
