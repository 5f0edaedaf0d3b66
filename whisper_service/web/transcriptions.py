"""Transcriptions."""

import json
from typing import Any

from flask import Blueprint, Response, request

from whisper_service import ids, model_files, transcriptions
from whisper_service.cues import Layout
from whisper_service.errors import Conflict, InvalidRequest, NotFound
from whisper_service.formats import FORMATS
from whisper_service.options import MAX_PROMPT, MAX_TEMPERATURE, Options
from whisper_service.tables import Transcription
from whisper_service.transcriptions import Order
from whisper_service.web import params, serializers, waiting
from whisper_service.web.auth import current_user
from whisper_service.web.serializers import View
from whisper_service.web.services import services

MAX_LINE_WIDTH, MAX_LINE_COUNT = 1000, 100
MAX_WAIT = 60  # seconds

public = Blueprint("results", __name__)
private = Blueprint("transcriptions", __name__)


@private.post("/transcribe")
def submit() -> dict[str, Any]:
    body = params.json_object()
    file_uuid = ids.parse(params.text(body, "uuid", missing="Missing file uuid"))
    name = params.text(body, "model", missing="Missing model")
    order = Order(
        model_files.find(services().config.models.path, name),
        params.optional_text(body, "language") or "auto",
        params.texts(body, "format", default="verbose_json"),
        _options(body),
    )
    queued = transcriptions.submit(current_user(), file_uuid, order, services().config.limits)
    services().worker.wake()
    return {
        "message": "Transcription(s) queued successfully",
        "transcriptions": [
            {"uuid": row.uuid, "format": row.format, "status": row.status} for row in queued
        ],
    }


@private.delete("/transcribe/<uuid>")
def delete(uuid: str) -> dict[str, Any]:
    row = transcriptions.delete(current_user(), ids.parse(uuid))
    services().worker.tell()
    return {
        "message": "Transcription deleted successfully",
        "uuid": row.uuid,
        "model": row.model,
        "format": row.format,
    }


@public.get("/transcribe/<uuid>")
def result(uuid: str) -> dict[str, Any] | Response:
    """Answer with the one transcription, or with all of a file when it is a file's uuid.

    What is finished is rendered in its own format, or in any other that the query asks for.
    """
    uuid = ids.parse(uuid)
    view = _view()
    row = transcriptions.find(uuid)
    if row is None:
        rows = transcriptions.find_of_file(uuid)
        worker = services().worker
        return {"transcriptions": [serializers.transcription(row, view, worker) for row in rows]}
    if params.flag("download"):
        return _as_file(row, view)
    seconds = params.query_whole("wait", MAX_WAIT) or 0
    return waiting.until_changed(services(), _look(uuid, view), seconds)


@public.get("/transcribe/<uuid>/events")
def events(uuid: str) -> Response:
    """Stream what the status is, each time that it changes, until the transcription has ended."""
    is_gone = request.environ.get("waitress.client_disconnected", lambda: False)
    look = _look(ids.parse(uuid), _view())
    if request.method == "HEAD":
        look()
        return Response(mimetype="text/event-stream")
    return waiting.stream(services(), look, is_gone)


def _look(uuid: str, view: View) -> waiting.Look:
    worker = services().worker

    def look() -> dict[str, Any]:
        row = transcriptions.find(uuid)
        if row is None:
            raise NotFound("Transcription not found")
        return serializers.transcription(row, view, worker)

    return look


def _options(body: dict[str, Any]) -> Options:
    temperature = params.optional_decimal(body, "temperature", MAX_TEMPERATURE, places=6)
    prompt = params.optional_text(body, "prompt") or ""
    if len(prompt) > MAX_PROMPT:
        raise InvalidRequest(f"prompt must be at most {MAX_PROMPT} characters")
    return Options(
        translate=params.optional_bool(body, "translate"),
        prompt=prompt,
        word_timestamps=params.optional_bool(body, "word_timestamps"),
        temperature=float(temperature or 0),
    )


def _view() -> View:
    if not request.args:
        return View(None, Layout())
    name = request.args.get("format")
    if name is not None and name not in FORMATS:
        raise InvalidRequest(f"Invalid format: {name}. Must be one of: {', '.join(FORMATS)}")
    width = params.query_whole("max_line_width", MAX_LINE_WIDTH)
    lines = params.query_whole("max_line_count", MAX_LINE_COUNT)
    if lines is not None and width is None:
        raise InvalidRequest("max_line_count needs max_line_width")
    return View(name, Layout(width, lines))


def _as_file(row: Transcription, view: View) -> Response:
    """Give the rendered text alone, under a name to save it by."""
    transcript = transcriptions.transcript_of(row)
    if transcript is None:
        raise Conflict(f"The transcription is {row.status}")
    kind = FORMATS[view.format or row.format]
    data = kind.render(transcript, view.layout)
    is_json = kind.content_type == "application/json"
    text = json.dumps(data, ensure_ascii=False) if is_json else f"{data['text']}\n"
    response = Response(text, content_type=f"{kind.content_type}; charset=utf-8")
    name = f"{row.uuid}{kind.ending}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
