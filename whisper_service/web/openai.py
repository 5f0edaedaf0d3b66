"""OpenAI's dialect of the same service: what its clients send to `/v1` and expect of it.

See platform.openai.com/docs/api-reference/audio. A request there is answered when the work is done.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.datastructures import MultiDict

from whisper_service import billing
from whisper_service.errors import (
    InvalidRequest,
    NotFound,
    QuotaExceeded,
    ServiceError,
    Unavailable,
)
from whisper_service.files import uploads
from whisper_service.jobs import orders
from whisper_service.jobs.orders import TranscriptionRequest
from whisper_service.models import catalog
from whisper_service.models.catalog import ModelFile
from whisper_service.tables import Transcription
from whisper_service.transcripts.cues import Layout
from whisper_service.transcripts.formats import FORMATS
from whisper_service.transcripts.transcript import Transcript
from whisper_service.web import forms, params, waiting
from whisper_service.web.auth import current_user
from whisper_service.web.route_options import Pool, route_options
from whisper_service.web.services import services
from whisper_service.whisper.options import MAX_PROMPT, MAX_TEMPERATURE, Options

private = Blueprint("openai", __name__)

DEFAULT_MODEL = "whisper-1"
RESPONSE_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
GRANULARITIES = {"segment", "word"}
GRANULARITY_FIELDS = ("timestamp_granularities[]", "timestamp_granularities")
# How OpenAI's own clients tell that they ask for the same thing once more.
RETRY_HEADER = "X-Stainless-Retry-Count"


@private.post("/audio/transcriptions")
@route_options(Pool.SPEECH, forms.upload_limit)
def transcribe() -> Response:
    return _answer(translate=False)


@private.post("/audio/translations")
@route_options(Pool.SPEECH, forms.upload_limit)
def translate() -> Response:
    return _answer(translate=True)


@private.get("/models")
def models() -> dict[str, Any]:
    folder = services().config.models.path
    found = {model.name: model for model in catalog.available(folder)}
    default = found.get(services().config.models.default)
    if default:
        found[DEFAULT_MODEL] = default
    return {"object": "list", "data": [_model(name, found[name]) for name in found]}


@private.get("/models/<name>")
def model(name: str) -> dict[str, Any]:
    return _model(name, _find_model(name))


@dataclass(frozen=True)
class _Wish:
    """What was asked for: a transcription, and how it is to be shown."""

    uuid: str
    response_format: str
    granularities: set[str]


def _answer(*, translate: bool) -> Response:
    wish = _receive(translate=translate)
    return _render(_wait(wish.uuid), wish)


def _receive(*, translate: bool) -> _Wish:
    with forms.received_upload() as form:
        part = next((part for part in form.parts if part.field == "file"), None)
        if part is None:
            raise InvalidRequest("Missing file")
        response_format = _one_of(form.texts, "response_format", RESPONSE_FORMATS)
        granularities = _granularities(form.texts)
        words = "word" in granularities
        if words and response_format != "verbose_json":
            raise InvalidRequest("timestamp_granularities needs response_format verbose_json")
        order = _order(form.texts, translate=translate, words=words)
        file, _ = uploads.store(current_user(), part.file, part.filename, services().storage)
    return _Wish(_ordered(file.uuid, order).uuid, response_format, granularities)


def _order(texts: MultiDict[str, str], *, translate: bool, words: bool) -> TranscriptionRequest:
    model = _find_model(params.text(texts, "model", missing="Missing model"))
    prompt = params.optional_text(texts, "prompt") or ""
    # As the model does, which sees the last 224 tokens of it.
    options = Options(translate, prompt[-MAX_PROMPT:], words, _temperature(texts))
    language = "auto" if translate else params.optional_text(texts, "language") or "auto"
    return TranscriptionRequest(model, language.lower(), ["verbose_json"], options)


def _ordered(file_uuid: str, order: TranscriptionRequest) -> Transcription:
    """Join a transcription that is the same, or queue one.

    A client that asks again after its connection broke shall not pay again: what has not ended
    is joined by whoever asks, what has ended by a client that says that it asks again.
    """
    retried = request.headers.get(RETRY_HEADER, "0") != "0"
    found = orders.find_same(current_user(), file_uuid, order, completed=retried)
    if found:
        return found
    (queued,) = orders.submit(current_user(), file_uuid, order, services().config.limits)
    services().worker.wake()
    return queued


def _wait(uuid: str) -> Transcript:
    is_gone = waiting.disconnect_check()
    while not is_gone():
        row = orders.find(uuid)
        if row is None:
            raise NotFound("The transcription was deleted")
        if row.status == "failed":
            raise _failure(str(row.error))
        transcript = orders.transcript_of(row)
        if transcript:
            return transcript
        if not services().worker.changes.wait_for_change(waiting.LOOK_SECONDS):
            break
    raise Unavailable("The server is ending; the transcription goes on when it starts again")


def _failure(error: str) -> ServiceError:
    return QuotaExceeded(error) if billing.is_insufficient_balance(error) else InvalidRequest(error)


def _render(transcript: Transcript, wish: _Wish) -> Response:
    name = wish.response_format
    if name == "text":
        return Response(f"{transcript.text}\n", mimetype="text/plain")
    data = FORMATS[name].render(transcript, Layout())
    if name in {"srt", "vtt"}:
        return Response(f"{data['text']}\n", mimetype="text/plain")
    if name == "verbose_json":
        if "segment" not in wish.granularities:
            del data["segments"]
        for segment in data.get("segments", ()):
            segment["seek"] = round(segment["start"] * 100)
    data["usage"] = {"type": "duration", "seconds": -int(-transcript.duration // 1)}
    return Response(json.dumps(data, ensure_ascii=False), mimetype="application/json")


def _find_model(name: str) -> ModelFile:
    config = services().config.models
    return catalog.find(config.path, config.default if name == DEFAULT_MODEL else name)


def _model(name: str, model: ModelFile) -> dict[str, Any]:
    created = int(model.path.stat().st_mtime)
    return {"id": name, "object": "model", "created": created, "owned_by": "whisper-service"}


def _granularities(texts: MultiDict[str, str]) -> set[str]:
    asked = {value for field in GRANULARITY_FIELDS for value in texts.getlist(field)}
    if not asked <= GRANULARITIES:
        raise InvalidRequest("timestamp_granularities must be segment or word")
    return asked or {"segment"}


def _one_of(texts: MultiDict[str, str], name: str, known: Sequence[str]) -> str:
    value = texts.get(name) or known[0]
    if value not in known:
        raise InvalidRequest(f"{name} must be one of: {', '.join(known)}")
    return value


def _temperature(texts: MultiDict[str, str]) -> float:
    try:
        value = float(texts.get("temperature") or 0)
    except ValueError:
        value = -1
    if not 0 <= value <= MAX_TEMPERATURE:
        raise InvalidRequest(f"temperature must be a number from 0 to {MAX_TEMPERATURE}")
    return round(value, 6)
