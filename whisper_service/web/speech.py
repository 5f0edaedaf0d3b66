"""Requests that are answered, or streamed to, until the transcription that they ask for has ended.

A transcription that such requests queued is abandoned when the last of their clients is gone.
"""

from collections.abc import Callable, Iterator

from flask import request

from whisper_service import billing
from whisper_service.errors import (
    InvalidRequest,
    NotFound,
    QuotaExceeded,
    ServiceError,
    Unavailable,
)
from whisper_service.files import uploads
from whisper_service.jobs import abandoned, orders
from whisper_service.jobs.orders import TranscriptionRequest
from whisper_service.tables import Transcription
from whisper_service.transcripts.transcript import Transcript
from whisper_service.web import waiting
from whisper_service.web.auth import current_user
from whisper_service.web.forms import Form, Part
from whisper_service.web.services import Services, services

# OpenAI's clients send a number above 0 when they repeat a request.
RETRY_HEADER = "X-Stainless-Retry-Count"


def file_part(form: Form, field: str, missing: str) -> Part:
    """Return the file of a form's field. `missing` is the error without one."""
    part = next((part for part in form.parts if part.field == field), None)
    if part is None:
        raise InvalidRequest(missing)
    return part


def store(part: Part) -> str:
    """Store the file of a form, and return its uuid. Raises what `uploads.store` raises."""
    file, _ = uploads.store(current_user(), part.file, part.filename, services().storage)
    return str(file.uuid)


def join(file_uuid: str, wanted: TranscriptionRequest, *, assume_retry: bool = False) -> str:
    """Return the uuid of an equal transcription, or of a new one. The caller has to `leave` it.

    So a client that repeats a request after a lost connection doesn't pay twice: any request uses
    an unfinished transcription, a repeated one a completed or abandoned one too. Clients that don't
    say that they repeat one need `assume_retry`.
    """
    open_requests = services().open_requests
    with open_requests.lock:
        retried = assume_retry or request.headers.get(RETRY_HEADER, "0") != "0"
        found = orders.find_same(current_user(), file_uuid, wanted, completed=retried)
        row = found or _queue(file_uuid, wanted, retried=retried)
        open_requests.join(row.uuid, is_queued_by_it=found is None)
    services().worker.wake()
    return str(row.uuid)


def leave(running: Services, uuid: str) -> None:
    """Abandon the transcription if nobody waits for it any more and it has not ended.

    When the service ends, its clients are not gone: the transcription resumes at the next start.
    """
    with running.open_requests.lock:
        if not running.open_requests.leave(uuid) or running.worker.changes.is_closed:
            return
        abandoned.abandon(uuid)
    running.worker.changes.notify()


def result(uuid: str) -> Transcript:
    """Wait for a transcription that was joined, and leave it. Raises what `follow` raises."""
    running = services()
    try:
        for row in follow(running, uuid, waiting.disconnect_check()):
            if transcript := orders.transcript_of(row):
                return transcript
    finally:
        leave(running, uuid)
    raise Unavailable("The client closed the connection")


def follow(running: Services, uuid: str, is_gone: Callable[[], bool]) -> Iterator[Transcription]:
    """Yield a transcription now and whenever it may have changed, at last when it is completed.

    Ends before that when the client is gone. Raises NotFound when the transcription was deleted,
    QuotaExceeded or InvalidRequest when it failed, Unavailable when the service ends.
    """
    while not is_gone():
        row = orders.find(uuid)
        if row is None:
            raise NotFound("The transcription was deleted")
        if row.status == "failed":
            raise _failure(row)
        yield row
        if not running.worker.changes.wait_for_change(waiting.LOOK_SECONDS):
            raise Unavailable(
                "The server is shutting down; the transcription resumes when it restarts"
            )


def _queue(file_uuid: str, wanted: TranscriptionRequest, *, retried: bool) -> Transcription:
    user, limits = current_user(), services().config.limits
    resumed = abandoned.resume(user, file_uuid, wanted, limits) if retried else None
    return resumed or orders.submit(user, file_uuid, wanted, limits)[0]


def _failure(row: Transcription) -> ServiceError:
    is_unpaid = row.error_code == billing.INSUFFICIENT_BALANCE
    return (QuotaExceeded if is_unpaid else InvalidRequest)(str(row.error))
