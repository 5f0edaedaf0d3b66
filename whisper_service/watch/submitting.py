"""From a recording that lies still to its file and its transcription in the account."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from whisper_service import billing, credentials
from whisper_service.accounts import users
from whisper_service.config import Config, LimitsSettings
from whisper_service.db import write_transaction
from whisper_service.errors import NotFound
from whisper_service.files import quota, uploads
from whisper_service.files.storage import IncomingFile, Storage
from whisper_service.files.uploads import QUOTA_EXCEEDED, RejectedFile
from whisper_service.jobs import orders
from whisper_service.jobs.orders import TranscriptionRequest
from whisper_service.models import catalog
from whisper_service.tables import File, User
from whisper_service.transcripts.formats import ORDERED
from whisper_service.watch import reading, records
from whisper_service.watch.records import Delayed, Recording
from whisper_service.whisper.options import Options

DELETED = "It was deleted in the account"
UNPAID = "The token balance of the account is insufficient"


@dataclass(frozen=True)
class Order:
    """For whom recordings are transcribed, and how."""

    user: User
    request: TranscriptionRequest


def prepare(config: Config) -> Order:
    """Return what is ordered for each recording.

    Raises NotFound without the account or the model, InvalidRequest for a language that the model
    does not know.
    """
    settings = config.watch
    user = users.find(settings.user)
    if user is None:
        raise NotFound("There is no account of the name in watch.user")
    model = catalog.find(config.models.path, settings.model)
    # All formats are made of one transcription, so that it is paid once.
    format_name = next((name for name in settings.formats if name in ORDERED), ORDERED[0])
    request = TranscriptionRequest(model, settings.language, [format_name], Options())
    orders.check(request)
    return Order(user, request)


def upload(
    recording: Recording,
    user: User,
    config: Config,
    storage: Storage,
    is_wanted: Callable[[], bool],
) -> Recording:
    """Store a recording as a file of the account's; return it with the file's uuid.

    Raises Delayed, RejectedFile, StorageFull, Changed, Cancelled, and Unauthenticated when the
    account was deleted.
    """
    max_bytes = config.storage.max_upload_bytes
    with reading.opened(recording, Path(config.watch.path)) as source:
        _check_size(recording.stamp.size, max_bytes, user, storage)
        with reading.received(source, recording, storage, max_bytes, is_wanted) as incoming:
            file = _store(user, incoming, recording.title, storage)
    uploaded = replace(recording, file_uuid=file.uuid)
    records.save(uploaded)
    return uploaded


def queue(recording: Recording, order: Order, limits: LimitsSettings) -> None:
    """Queue the transcription of an uploaded recording, unless the account has an equal one.

    It is recorded in the same transaction, so that no kill leads to a second one. Raises Delayed,
    TooManyRequests, Unauthenticated, NotFound for a file that was deleted, InvalidRequest for one
    that could not be converted.
    """
    with write_transaction():
        user = credentials.confirm(order.user)
        file = File.get_or_none(File.uuid == recording.file_uuid, File.user_id == user.id)
        if file is None:
            raise NotFound(DELETED)
        found = orders.find_same(user, file.uuid, order.request, completed=True)
        if found is None:
            _check_balance(user, file)
            (found,) = orders.insert(user, file.uuid, order.request, limits)
        queued = replace(recording, transcription_uuid=found.uuid, error=None)
        records.save_in_transaction(queued)


def _store(user: User, incoming: IncomingFile, name: str, storage: Storage) -> File:
    try:
        file, _ = uploads.store(user, incoming, name, storage)
    except RejectedFile as error:
        raise (Delayed(str(error)) if error.code == QUOTA_EXCEEDED else error) from error
    return file


def _check_size(size: int, max_bytes: int, user: User, storage: Storage) -> None:
    """Raise the error of a recording that is too large to be stored, before it is read."""
    if size > max_bytes:
        raise RejectedFile("file_too_large", f"The file is larger than {max_bytes} bytes")
    storage.ensure_room(size)
    try:
        quota.check(user.id, size, storage.quota_bytes)
    except quota.StorageQuotaExceeded as error:
        raise Delayed(str(error)) from error


def _check_balance(user: User, file: File) -> None:
    """Raise Delayed if the balance does not cover a recording whose length is known."""
    if file.samples and billing.cost(file.samples, user.price_micros) > user.token_balance:
        raise Delayed(UNPAID)
