"""Corrections of transcripts."""

from typing import Any

from flask import Blueprint

from whisper_service import ids
from whisper_service.errors import InvalidRequest, TooManyRequests
from whisper_service.jobs import corrections
from whisper_service.transcripts.correcting import CorrectedSegment
from whisper_service.web import params
from whisper_service.web.auth import current_user
from whisper_service.web.route_options import route_options
from whisper_service.web.services import services

# The segments of 12 hours take 2 MiB.
MAX_BODY_BYTES = 4 * 1024**2
MAX_REVISION = 2**53
MAX_SECONDS = 10**9
BUSY = "The server is storing other corrections. Try again in a second"

private = Blueprint("corrections", __name__)


@private.patch("/transcribe/<uuid>")
@route_options(max_json_bytes=MAX_BODY_BYTES)
def correct(uuid: str) -> dict[str, Any]:
    uuid, user = ids.parse(uuid), current_user()
    with services().corrections.place(user.id, TooManyRequests(BUSY, 1)):
        body = params.json_object(max_bytes=MAX_BODY_BYTES)
        revision = params.optional_integer(body, "revision", MAX_REVISION)
        if revision is None:
            raise InvalidRequest("Missing revision")
        revision = corrections.correct(user, uuid, _segments(body), revision)
    services().worker.changes.notify()
    return {
        "message": "Transcription corrected successfully",
        "uuid": uuid,
        "revision": revision,
    }


def _segments(body: dict[str, Any]) -> list[CorrectedSegment]:
    values = body.get("segments")
    if not isinstance(values, list):
        raise InvalidRequest("segments must be a list")
    return [_segment(f"segments[{number}]", value) for number, value in enumerate(values)]


def _segment(name: str, value: object) -> CorrectedSegment:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{name} must be an object with start, end and text")
    fields = {f"{name}.{field}": each for field, each in value.items()}
    start, end = (
        params.optional_decimal(fields, f"{name}.{field}", MAX_SECONDS)
        for field in ("start", "end")
    )
    text = params.optional_text(fields, f"{name}.text")
    if start is None or end is None or text is None:
        raise InvalidRequest(f"{name} must have start, end and text")
    return CorrectedSegment(float(start), float(end), text)
