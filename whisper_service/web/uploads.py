"""Files out of a multipart body, written to disk and hashed while the form is parsed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from flask import request
from werkzeug.formparser import FormDataParser

from whisper_service.errors import InvalidRequest
from whisper_service.storage import IncomingFile
from whisper_service.web.services import services

MAX_PARTS = 1000
# Werkzeug's parser wants room for what it has read but not cut into parts yet.
MAX_TEXT_BYTES = 512 * 1024
# A body may hold several files, and a file that is too large is answered for by itself.
BODY_TO_FILE = 2
FORM_BYTES = 1024 * 1024


def max_body_bytes(max_upload_bytes: int) -> int:
    """Give the largest body of a request that uploads files of up to `max_upload_bytes`."""
    return BODY_TO_FILE * max_upload_bytes + FORM_BYTES


@contextmanager
def uploaded_files() -> Iterator[list[tuple[str, IncomingFile]]]:
    """Receive all files of the request, with the names their sender gave them.

    What was not moved elsewhere is removed at the end. Raises InvalidRequest for a body that is
    no whole form.
    """
    limit = services().config.storage.max_upload_bytes
    request.max_content_length = max_body_bytes(limit)
    received: list[tuple[str, IncomingFile]] = []

    def receive(*, filename: str | None, **_: object) -> IncomingFile:
        received.append((filename or "", services().storage.receive(limit)))
        return received[-1][1]

    parser = FormDataParser(
        cast("Any", receive), MAX_TEXT_BYTES, silent=False, max_form_parts=MAX_PARTS
    )
    try:
        _parse(parser)
        # A browser sends an empty part without a name for a field that nobody filled.
        yield [(name, file) for name, file in received if name or file.size]
    finally:
        for _, file in received:
            file.discard()


def _parse(parser: FormDataParser) -> None:
    try:
        parser.parse(
            request.stream, request.mimetype, request.content_length, request.mimetype_params
        )
    except ValueError as error:
        raise InvalidRequest("Invalid multipart body") from error
