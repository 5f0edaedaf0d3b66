"""Uploaded files."""

from typing import Any

from flask import Blueprint

from whisper_service import files
from whisper_service.errors import InvalidRequest
from whisper_service.storage import IncomingFile
from whisper_service.web import serializers
from whisper_service.web.auth import current_user
from whisper_service.web.services import services
from whisper_service.web.uploads import uploaded_files

private = Blueprint("files", __name__)


@private.post("/file")
@private.post("/files")
def upload() -> dict[str, Any]:
    with uploaded_files() as received:
        if not received:
            raise InvalidRequest("No file provided")
        results = [_store(filename, incoming) for filename, incoming in received]
    services().wake()
    return {"files": results}


def _store(filename: str, incoming: IncomingFile) -> dict[str, Any]:
    try:
        file, existed = files.store(current_user(), incoming, filename, services().storage)
    except files.RejectedFile as error:
        return serializers.rejected_file(filename, error.code, str(error))
    return serializers.stored_file(file, filename, existed=existed)
