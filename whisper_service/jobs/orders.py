"""Transcriptions as their users order, read and delete them."""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from peewee import JOIN, fn

from whisper_service import billing, credentials, ids, search_index
from whisper_service.config import LimitsSettings
from whisper_service.db import database, write_transaction
from whisper_service.errors import InvalidRequest, NotFound, TooManyRequests
from whisper_service.files import library
from whisper_service.jobs import checkpoints
from whisper_service.models.catalog import ModelFile
from whisper_service.pagination import Page, newest_first, page_of
from whisper_service.tables import (
    UNFINISHED,
    Correction,
    File,
    StoredTranscript,
    Transcription,
    User,
)
from whisper_service.transcript_key import TranscriptKey
from whisper_service.transcripts.formats import ORDERED
from whisper_service.transcripts.transcript import Transcript
from whisper_service.whisper import languages
from whisper_service.whisper.options import Options

# When to ask again for what has too many unfinished transcriptions before it.
RETRY_SECONDS = 60
LATER = "try again when some are finished"


@dataclass(frozen=True)
class TranscriptionRequest:
    """What is to be made of a file. `language` is an ISO 639-1 code or 'auto'."""

    model: ModelFile
    language: str
    formats: Sequence[str]
    options: Options

    def key(self, file_uuid: str) -> TranscriptKey:
        model, version = self.model.name, self.model.version
        return TranscriptKey(file_uuid, model, version, self.language, self.options.to_text())


def submit(
    user: User, file_uuid: str, request: TranscriptionRequest, limits: LimitsSettings
) -> list[Transcription]:
    """Queue a transcription of a file for each format, the same format once.

    Raises what `check` and `insert` raise.
    """
    check(request)
    with write_transaction():
        return insert(user, file_uuid, request, limits)


def check(request: TranscriptionRequest) -> None:
    """Raise InvalidRequest for formats or a language that are not there or the model cannot do."""
    _check_formats(request.formats)
    check_language(request)


def insert(
    user: User, file_uuid: str, request: TranscriptionRequest, limits: LimitsSettings
) -> list[Transcription]:
    """Queue what `check` has passed, in the caller's transaction.

    Raises NotFound for a file that is not the user's, InvalidRequest for one that cannot be
    transcribed, TooManyRequests when too many are unfinished, Unauthenticated for credentials that
    were revoked meanwhile.
    """
    file = library.find_owned(credentials.confirm(user), file_uuid)
    if file.status == "failed" and file.samples is None:
        raise InvalidRequest(f"The file cannot be transcribed: {file.error}")
    formats = list(dict.fromkeys(request.formats))
    check_unfinished(file, len(formats), limits)
    return [
        Transcription.create(
            uuid=ids.uuid7(),
            user_id=user.id,
            format=name,
            created_at=int(time.time()),
            **request.key(file.uuid).values(),
        )
        for name in formats
    ]


def find_same(
    user: User, file_uuid: str, request: TranscriptionRequest, *, completed: bool
) -> Transcription | None:
    """Return the user's newest equal transcription that is unfinished, or completed."""
    statuses = [*UNFINISHED, *(["completed"] if completed else [])]
    query = Transcription.select().where(
        *request.key(file_uuid).matching(Transcription),
        Transcription.user_id == user.id,
        Transcription.status.in_(statuses),
    )
    found: Transcription | None = query.order_by(Transcription.id.desc()).first()
    return found


# The most frequent query is built once: building it takes Peewee 15 times as long as answering it
# takes SQLite.
_QUERY = Transcription.select().where(Transcription.uuid == "")
_BY_UUID, _ = _QUERY.sql()
_NAMES = [column.name for column in _QUERY.selected_columns]


def find(uuid: str) -> Transcription | None:
    values = database.execute_sql(_BY_UUID, (uuid,)).fetchone()  # type: ignore[no-untyped-call]
    return Transcription(**dict(zip(_NAMES, values, strict=True))) if values else None


def of_file(file_uuid: str, number: int, limit: int) -> Page[Transcription]:
    """Return a page of a file's transcriptions, oldest first.

    Raises NotFound when there is no such file.
    """
    query = Transcription.select().where(Transcription.file_uuid == file_uuid)
    page = page_of(query.order_by(Transcription.id), number, limit)
    if not page.total and not File.select().where(File.uuid == file_uuid).exists():
        raise NotFound("Transcription not found")
    return page


def list_owned(
    user: User, number: int, limit: int, file_uuid: str | None
) -> Page[tuple[Transcription, str | None]]:
    """Return a page of a user's transcriptions, newest first, each with its recording's name.

    The name is None if the recording was deleted. With a `file_uuid`, only those of that file.
    """
    query = Transcription.select().where(Transcription.user_id == user.id)
    if file_uuid is not None:
        query = query.where(Transcription.file_uuid == file_uuid)
    page = newest_first(query, Transcription.id, number, limit)
    files = File.select(File.uuid, File.filename).where(
        File.uuid.in_({row.file_uuid for row in page.rows})
    )
    names = {file.uuid: file.filename for file in files}
    listed = [(row, names.get(row.file_uuid)) for row in page.rows]
    return Page(listed, number, limit, page.total)


def with_transcripts(
    rows: Sequence[Transcription], max_length: int, *, original: bool
) -> list[tuple[Transcription, str | None]]:
    """Return rows of one file, the completed ones with their transcripts, as `load` does.

    After the first transcript, the one that would make it more than `max_length` characters in all,
    and whatever follows it, are None. Rows that were deleted since they were read are left out.
    """
    completed = [row.id for row in rows if row.transcript_id is not None]
    loaded = (
        _load_all(rows[0].file_uuid, completed, max_length, original=original) if completed else {}
    )
    found: list[tuple[Transcription, str | None]] = []
    for row in rows:
        if row.transcript_id is None:
            found.append((row, None))
        elif row.id in loaded:
            row.revision, data = loaded[row.id]
            found.append((row, data))
    return found


_Loaded = tuple[int, str | None]  # the revision of a transcription, and its transcript


def _load_all(
    file_uuid: str, row_ids: Sequence[int], max_length: int, *, original: bool
) -> dict[int, _Loaded]:
    """Load transcripts by the ids of their transcriptions, which ascend."""
    query = (
        _with_data(original=original)
        .where(
            Transcription.file_uuid == file_uuid, Transcription.id.between(row_ids[0], row_ids[-1])
        )
        .order_by(Transcription.id)
    )
    loaded: dict[int, _Loaded] = {}
    length = 0
    # SQLite reads a row when it is asked for it, so that no more is read than is wanted.
    with closing(database.execute_sql(*query.sql())) as cursor:  # type: ignore[no-untyped-call]
        for row_id, revision, data in cursor:
            length += len(data)
            if loaded and length > max_length:
                left_out = (each for each in row_ids if each >= row_id)
                return loaded | dict.fromkeys(left_out, (revision, None))
            loaded[row_id] = revision, data
    return loaded


def _with_data(*, original: bool) -> Any:  # noqa: ANN401 - a query
    """Select the ids and revisions of completed transcriptions, with their transcripts."""
    stored = StoredTranscript.data
    data = stored if original else fn.COALESCE(Correction.data, stored)
    return (
        Transcription.select(Transcription.id, Transcription.revision, data)
        .join(StoredTranscript, on=(StoredTranscript.id == Transcription.transcript_id))
        .switch(Transcription)
        .join(Correction, JOIN.LEFT_OUTER, on=(Correction.transcription_id == Transcription.id))
    )


def delete(user: User, uuid: str) -> Transcription:
    """Delete a transcription of the user's own, and return what it was.

    Raises NotFound, Unauthenticated for credentials that were revoked meanwhile. For one that
    runs, tokens are given back for what is not transcribed; the worker sees that it is gone and
    stops.
    """
    with write_transaction():
        credentials.confirm(user)
        row = Transcription.get_or_none(
            Transcription.uuid == uuid, Transcription.user_id == user.id
        )
        if row is None:
            raise NotFound("Transcription not found or access denied")
        if row.status == "processing":
            billing.refund_rest(row)
        Transcription.delete().where(Transcription.uuid == uuid).execute()
        checkpoints.clear_unwanted(TranscriptKey.of(row))
        search_index.remove_deleted()
    return row


def transcript_of(transcription: Transcription) -> Transcript | None:
    """Load the transcript; None until the transcription is completed, and after its deletion."""
    data = load(transcription, original=False)
    return Transcript.from_json(data) if data is not None else None


def load(transcription: Transcription, *, original: bool) -> str | None:
    """Load a transcript's JSON, as it was corrected or as the `original`.

    The row gets the revision that was loaded. Returns None until the transcription is completed,
    and after its deletion.
    """
    query = _with_data(original=original).where(Transcription.id == transcription.id)
    for _, revision, data in database.execute_sql(*query.sql()):  # type: ignore[no-untyped-call]
        transcription.revision = revision
        return str(data)
    return None


def check_unfinished(file: File, new: int, limits: LimitsSettings) -> None:
    """Raise TooManyRequests when `new` transcriptions more would be too many."""
    unfinished = Transcription.select().where(Transcription.status.in_(UNFINISHED))
    for of, owner, most in (
        (Transcription.file_uuid == file.uuid, "This file has", limits.unfinished_per_file),
        (Transcription.user_id == file.user_id, "You have", limits.unfinished_per_user),
    ):
        count = unfinished.where(of).count()
        if count + new > most:
            raise TooManyRequests(
                f"{owner} {count} unfinished transcriptions of at most {most}: {LATER}",
                RETRY_SECONDS,
            )


def _check_formats(formats: Sequence[str]) -> None:
    if not formats:
        raise InvalidRequest("At least one format must be specified")
    for name in formats:
        if name not in ORDERED:
            known = ", ".join(ORDERED)
            raise InvalidRequest(f"Invalid format: {name}. Must be one of: {known}")


def check_language(request: TranscriptionRequest) -> None:
    """Raise InvalidRequest for a language that is not there, or that the model cannot do."""
    if request.language != "auto" and request.language not in languages.CODES:
        raise InvalidRequest(f"Invalid language: {request.language}")
    if not request.model.is_english_only:
        return
    if request.language not in {"auto", "en"}:
        raise InvalidRequest(
            f"Model {request.model.name} knows English only, not {request.language}"
        )
    if request.options.translate:
        raise InvalidRequest(f"Model {request.model.name} knows English only and cannot translate")
