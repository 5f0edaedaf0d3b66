"""OpenAI's audio API at `/v1`: a request is answered once the transcription has ended.

See platform.openai.com/docs/api-reference/audio.
"""

import json
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
# OpenAI's clients send a number above 0 when they repeat a request.
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
class _Output:
    """The requested form of the result."""

    format: str
    granularities: set[str]


def _answer(*, translate: bool) -> Response:
    uuid, output = _receive(translate=translate)
    return _render(_wait(uuid), output)


def _receive(*, translate: bool) -> tuple[str, _Output]:
    """Store the file and queue its transcription. Return the transcription's uuid."""
    with forms.received_upload() as form:
        part = next((part for part in form.parts if part.field == "file"), None)
        if part is None:
            raise InvalidRequest("Missing file")
        output = _output(form.texts)
        words = "word" in output.granularities
        wanted = _transcription_request(form.texts, translate=translate, words=words)
        file, _ = uploads.store(current_user(), part.file, part.filename, services().storage)
    return _find_or_submit(file.uuid, wanted).uuid, output


def _output(texts: MultiDict[str, str]) -> _Output:
    name, granularities = _response_format(texts), _granularities(texts)
    if "word" in granularities and name != "verbose_json":
        raise InvalidRequest("timestamp_granularities needs response_format verbose_json")
    return _Output(name, granularities)


def _transcription_request(
    texts: MultiDict[str, str], *, translate: bool, words: bool
) -> TranscriptionRequest:
    model = _find_model(params.text(texts, "model", missing="Missing model"))
    prompt = params.optional_text(texts, "prompt") or ""
    # A longer prompt is cut, as OpenAI's model does: it sees the last 224 tokens.
    options = Options(translate, prompt[-MAX_PROMPT:], words, _temperature(texts))
    language = "auto" if translate else params.optional_text(texts, "language") or "auto"
    return TranscriptionRequest(model, language.lower(), ["verbose_json"], options)


def _find_or_submit(file_uuid: str, wanted: TranscriptionRequest) -> Transcription:
    """Return an equal transcription, or queue a new one.

    So a client that repeats a request after a lost connection doesn't pay twice: any request uses
    an unfinished transcription, a repeated one a completed one too.
    """
    retried = request.headers.get(RETRY_HEADER, "0") != "0"
    found = orders.find_same(current_user(), file_uuid, wanted, completed=retried)
    if found:
        return found
    (queued,) = orders.submit(current_user(), file_uuid, wanted, services().config.limits)
    services().worker.wake()
    return queued


def _wait(uuid: str) -> Transcript:
    is_gone = waiting.disconnect_check()
    while not is_gone():
        row = orders.find(uuid)
        if row is None:
            raise NotFound("The transcription was deleted")
        if row.status == "failed":
            raise _failure(row)
        transcript = orders.transcript_of(row)
        if transcript:
            return transcript
        if not services().worker.changes.wait_for_change(waiting.LOOK_SECONDS):
            break
    raise Unavailable("The server is shutting down; the transcription resumes when it restarts")


def _failure(row: Transcription) -> ServiceError:
    is_unpaid = row.error_code == billing.INSUFFICIENT_BALANCE
    return (QuotaExceeded if is_unpaid else InvalidRequest)(str(row.error))


def _render(transcript: Transcript, output: _Output) -> Response:
    name = output.format
    if name == "text":
        return Response(f"{transcript.text}\n", mimetype="text/plain")
    data = FORMATS[name].render(transcript, Layout())
    if name in {"srt", "vtt"}:
        return Response(f"{data['text']}\n", mimetype="text/plain")
    if name == "verbose_json":
        if "segment" not in output.granularities:
            del data["segments"]
        for segment in data.get("segments", ()):
            segment["seek"] = round(segment["start"] * 100)
        data["language"] = data["language"] or ""  # OpenAI's is always text
    data["usage"] = {"type": "duration", "seconds": -int(-transcript.duration // 1)}
    return Response(json.dumps(data, ensure_ascii=False), mimetype="application/json")


def _find_model(name: str) -> ModelFile:
    config = services().config.models
    return catalog.find(config.path, config.default if name == DEFAULT_MODEL else name)


def _model(name: str, model: ModelFile) -> dict[str, Any]:
    created = int(model.path.stat().st_mtime)
    return {"id": name, "object": "model", "created": created, "owned_by": "whisper-service"}


def _granularities(texts: MultiDict[str, str]) -> set[str]:
    values = {value for field in GRANULARITY_FIELDS for value in texts.getlist(field)}
    if not values <= GRANULARITIES:
        raise InvalidRequest("timestamp_granularities must be segment or word")
    return values or {"segment"}


def _response_format(texts: MultiDict[str, str]) -> str:
    name = texts.get("response_format") or RESPONSE_FORMATS[0]
    if name not in RESPONSE_FORMATS:
        raise InvalidRequest(f"response_format must be one of: {', '.join(RESPONSE_FORMATS)}")
    return name


def _temperature(texts: MultiDict[str, str]) -> float:
    try:
        value = float(texts.get("temperature") or 0)
    except ValueError:
        value = -1
    if not 0 <= value <= MAX_TEMPERATURE:
        raise InvalidRequest(f"temperature must be a number from 0 to {MAX_TEMPERATURE}")
    return round(value, 6)
