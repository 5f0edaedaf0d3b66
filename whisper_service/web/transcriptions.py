"""Transcriptions."""

from typing import Any

from flask import Blueprint

from whisper_service import ids, model_files, transcriptions
from whisper_service.web import params, serializers
from whisper_service.web.auth import current_user
from whisper_service.web.services import services

public = Blueprint("results", __name__)
private = Blueprint("transcriptions", __name__)


@private.post("/transcribe")
def submit() -> dict[str, Any]:
    body = params.json_object()
    file_uuid = ids.parse(params.text(body, "uuid", missing="Missing file uuid"))
    name = params.text(body, "model", missing="Missing model")
    language = params.optional_text(body, "language") or "auto"
    formats = params.texts(body, "format", default="verbose_json")
    model = model_files.find(services().config.models.path, name)
    queued = transcriptions.submit(current_user(), file_uuid, model, language, formats)
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
    return {
        "message": "Transcription deleted successfully",
        "uuid": row.uuid,
        "model": row.model,
        "format": row.format,
    }


@public.get("/transcribe/<uuid>")
def result(uuid: str) -> dict[str, Any]:
    """Answer with the one transcription, or with all of a file when it is a file's uuid."""
    uuid = ids.parse(uuid)
    row = transcriptions.find(uuid)
    if row is not None:
        return serializers.transcription(row)
    rows = transcriptions.find_of_file(uuid)
    return {"transcriptions": [serializers.transcription(row) for row in rows]}
