"""Transcriptions."""

from typing import Any

from flask import Blueprint, Response, request

from whisper_service import ids
from whisper_service.errors import Conflict, InvalidRequest, NotFound
from whisper_service.jobs import orders
from whisper_service.jobs.orders import TranscriptionRequest
from whisper_service.jobs.progress import without_long_texts
from whisper_service.models import catalog
from whisper_service.tables import Transcription
from whisper_service.transcripts.cues import Layout
from whisper_service.transcripts.formats import FORMATS
from whisper_service.web import params, serializers, waiting
from whisper_service.web.auth import current_network, current_user
from whisper_service.web.rendering import Rendered, View, result_key
from whisper_service.web.services import Services, services
from whisper_service.whisper.options import MAX_PROMPT, MAX_TEMPERATURE, Options

MAX_LINE_WIDTH, MAX_LINE_COUNT = 1000, 100
MAX_WAIT = 60  # seconds
VERSIONS = ("corrected", "original")
# Characters of stored transcripts in one answer, whose rendering takes a second; texts so far too.
MAX_LIST_LENGTH = 8 * 1024**2

public = Blueprint("results", __name__)
private = Blueprint("transcriptions", __name__)


@private.post("/transcribe")
def submit() -> dict[str, Any]:
    body = params.json_object()
    file_uuid = ids.parse(params.text(body, "uuid", missing="Missing file uuid"))
    name = params.text(body, "model", missing="Missing model")
    order = TranscriptionRequest(
        catalog.find(services().config.models.path, name),
        params.optional_text(body, "language") or "auto",
        params.texts(body, "format", default="verbose_json"),
        _options(body),
    )
    queued = orders.submit(current_user(), file_uuid, order, services().config.limits)
    services().worker.wake()
    return {
        "message": "Transcription(s) queued successfully",
        "transcriptions": [
            {"uuid": row.uuid, "format": row.format, "status": row.status} for row in queued
        ],
    }


@private.get("/transcribe")
def list_owned() -> dict[str, Any]:
    number, limit = params.page()
    file = request.args.get("file")
    file_uuid = None if file is None else ids.parse(file)
    page = orders.list_owned(current_user(), number, limit, file_uuid)
    progress = services().worker.progress.of([row for row, _ in page.rows])
    return {
        "transcriptions": [
            serializers.listed_transcription(row, filename, progress.get(row.id))
            for row, filename in page.rows
        ],
        "pagination": serializers.pagination(page),
    }


@private.delete("/transcribe/<uuid>")
def delete(uuid: str) -> dict[str, Any]:
    row = orders.delete(current_user(), ids.parse(uuid))
    services().worker.changes.notify()
    return {
        "message": "Transcription deleted successfully",
        "uuid": row.uuid,
        "model": row.model,
        "format": row.format,
    }


@public.get("/transcribe/<uuid>")
def result(uuid: str) -> Response:
    """Answer with the one transcription, or with all of a file when it is a file's uuid.

    What is finished is rendered in its own format, or in any other that the query asks for.
    """
    uuid = ids.parse(uuid)
    view = _view()
    row = orders.find(uuid)
    if row is None:
        return _of_file(uuid, view)
    if params.flag("download"):
        return _as_file(row, view)
    seconds = params.query_integer("wait", MAX_WAIT) or 0
    is_gone = waiting.disconnect_check()
    return _json(waiting.until_changed(services(), _look(uuid, view), is_gone, seconds))


@public.get("/transcribe/<uuid>/events")
def events(uuid: str) -> Response:
    """Stream what the status is, each time that it changes, until the transcription has ended."""
    look = _look(ids.parse(uuid), _view())
    if request.method == "HEAD":
        look()
        return Response(mimetype="text/event-stream")
    return waiting.stream(services(), look, waiting.disconnect_check())


def _look(uuid: str, view: View) -> waiting.Look:
    running, network = services(), current_network()

    def look(*, admitted: bool = False) -> dict[str, Any]:
        row = orders.find(uuid)
        if row is None:
            raise NotFound("Transcription not found")
        rendered = _rendered(row, view, running, None if admitted else network)
        progress = running.worker.progress.of([row]).get(row.id)
        return serializers.transcription(row, view.format_of(row), rendered, progress)

    return look


def _rendered(
    row: Transcription, view: View, running: Services, network: str | None
) -> Rendered | None:
    """Return the result, None until it is completed.

    Raises NotFound for one that was deleted since the row was read, TooManyRequests.
    """
    if row.transcript_id is None:
        return None
    found = running.renderer.cached(result_key(row, view))
    if found:
        return found
    stored = orders.load(row, original=view.original)
    if stored is None:
        raise NotFound("Transcription not found")
    key = result_key(row, view)
    return running.renderer.render({key: stored}, network)[key]


def _of_file(uuid: str, view: View) -> Response:
    """Return a page of a file's transcriptions, with their data up to a limit of length.

    Those whose transcript was deleted since the rows were read are left out.
    """
    page = orders.of_file(uuid, *params.page(params.MAX_LIMIT))
    rows = orders.with_transcripts(page.rows, MAX_LIST_LENGTH, original=view.original)
    stored = {result_key(row, view): data for row, data in rows if data is not None}
    results = services().renderer.render(stored, current_network())
    progress = without_long_texts(
        services().worker.progress.of([row for row, _ in rows]), MAX_LIST_LENGTH
    )
    listed = [
        serializers.transcription(
            row,
            view.format_of(row),
            None if data is None else results[result_key(row, view)],
            progress.get(row.id),
        )
        for row, data in rows
    ]
    items = b",".join(map(serializers.to_json, listed))
    return _json({"transcriptions": b"[%s]" % items, "pagination": serializers.pagination(page)})


def _json(answer: dict[str, Any]) -> Response:
    return Response(serializers.to_json(answer), mimetype="application/json")


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
    version = request.args.get("version", "corrected")
    if version not in VERSIONS:
        raise InvalidRequest(f"version must be one of: {', '.join(VERSIONS)}")
    name = request.args.get("format")
    if name is not None and name not in FORMATS:
        raise InvalidRequest(f"Invalid format: {name}. Must be one of: {', '.join(FORMATS)}")
    width = params.query_integer("max_line_width", MAX_LINE_WIDTH)
    lines = params.query_integer("max_line_count", MAX_LINE_COUNT)
    if lines is not None and width is None:
        raise InvalidRequest("max_line_count needs max_line_width")
    return View(name, Layout(width, lines), version == "original")


def _as_file(row: Transcription, view: View) -> Response:
    """Return the rendered text alone, under a name to save it by."""
    rendered = _rendered(row, view, services(), current_network())
    if rendered is None:
        raise Conflict(f"The transcription is {row.status}")
    kind = FORMATS[view.format_of(row)]
    text = rendered.data if kind.is_json else f"{rendered.text}\n"
    response = Response(text, content_type=f"{kind.content_type}; charset=utf-8")
    name = f"{row.uuid}{kind.ending}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
