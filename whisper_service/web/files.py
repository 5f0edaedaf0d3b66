"""Uploaded files."""

from typing import Any

from flask import Blueprint, Response

from whisper_service import ids
from whisper_service.errors import InvalidRequest
from whisper_service.files import library, uploads
from whisper_service.files.storage import IncomingFile
from whisper_service.web import downloads, forms, params, serializers
from whisper_service.web.auth import current_user
from whisper_service.web.route_options import Pool, route_options
from whisper_service.web.services import services

public = Blueprint("downloads", __name__)
private = Blueprint("files", __name__)


@private.post("/file")
@private.post("/files")
@route_options(Pool.UPLOAD, forms.upload_limit)
def upload() -> dict[str, Any]:
    with forms.received_upload() as form:
        if not form.parts:
            raise InvalidRequest("No file provided")
        results = [_store(part.filename, part.file) for part in form.parts]
    services().worker.wake()
    return {"files": results}


@private.get("/file")
@private.get("/files")
def list_owned() -> dict[str, Any]:
    page = library.list_owned(current_user(), *params.page())
    return {
        "files": [serializers.file(row) for row in page.rows],
        "pagination": serializers.pagination(page),
    }


@public.get("/file/<uuid>")
@public.get("/files/<uuid>")
def download(uuid: str) -> Response:
    return downloads.respond(*library.open_download(ids.parse(uuid), services().storage))


@private.patch("/file/<uuid>")
@private.patch("/files/<uuid>")
def rename(uuid: str) -> dict[str, Any]:
    uuid = ids.parse(uuid)
    filename = params.optional_text(params.json_object(), "filename")
    if filename is None:
        raise InvalidRequest("Missing 'filename' field in request body")
    old, new = library.rename(current_user(), uuid, filename)
    return {
        "message": "Filename updated successfully",
        "uuid": uuid,
        "old_filename": old,
        "new_filename": new,
    }


@private.delete("/file/<uuid>")
@private.delete("/files/<uuid>")
def delete(uuid: str) -> dict[str, Any]:
    file = library.delete(current_user(), ids.parse(uuid), services().storage)
    return {"message": "File deleted successfully", "uuid": file.uuid, "filename": file.filename}


def _store(filename: str, incoming: IncomingFile) -> dict[str, Any]:
    try:
        file, existed = uploads.store(current_user(), incoming, filename, services().storage)
    except uploads.RejectedFile as error:
        return serializers.rejected_file(filename, error.code, str(error))
    return serializers.stored_file(file, filename, existed=existed)
