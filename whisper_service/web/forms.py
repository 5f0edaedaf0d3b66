"""Multipart forms, their files written to disk and hashed while the form is parsed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from flask import request
from werkzeug.datastructures import MultiDict
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
MAX_AVATAR_BYTES = 10 * 1024**2


@dataclass(frozen=True)
class Part:
    """A file of a form: the field's name, the name its sender gave it, and its bytes."""

    field: str
    filename: str
    file: IncomingFile


@dataclass(frozen=True)
class Form:
    """`parts` are in the order of the body."""

    texts: MultiDict[str, str]
    parts: list[Part]


def max_body_bytes(max_upload_bytes: int) -> int:
    """Give the largest body of any request, where a file has up to `max_upload_bytes`."""
    return BODY_TO_FILE * max(max_upload_bytes, MAX_AVATAR_BYTES) + FORM_BYTES


@contextmanager
def received_form(max_file_bytes: int) -> Iterator[Form]:
    """Receive the request's form. Of a file beyond `max_file_bytes` the rest is not written.

    Files that were not moved elsewhere are removed at the end. Raises InvalidRequest for a body
    that is no whole form.
    """
    request.max_content_length = max_body_bytes(services().config.storage.max_upload_bytes)
    received: list[IncomingFile] = []

    def receive(**_: object) -> IncomingFile:
        received.append(services().storage.receive(max_file_bytes))
        return received[-1]

    parser = FormDataParser(
        cast("Any", receive), MAX_TEXT_BYTES, silent=False, max_form_parts=MAX_PARTS
    )
    try:
        yield _parse(parser, received)
    finally:
        for file in received:
            file.discard()


def _parse(parser: FormDataParser, received: list[IncomingFile]) -> Form:
    try:
        _, texts, files = parser.parse(
            request.stream, request.mimetype, request.content_length, request.mimetype_params
        )
    except ValueError as error:
        raise InvalidRequest("Invalid multipart body") from error
    parts = [
        Part(field, file.filename or "", cast("IncomingFile", file.stream))
        for field, file in files.items(multi=True)
        # A browser sends an empty part without a name for a field that nobody filled.
        if file.filename or cast("IncomingFile", file.stream).size
    ]
    return Form(texts, sorted(parts, key=lambda part: received.index(part.file)))
