"""Multipart forms. Their files are written to disk and hashed while the form is parsed."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from flask import request
from werkzeug.datastructures import MultiDict
from werkzeug.http import parse_options_header
from werkzeug.sansio.multipart import Data, Epilogue, Event, Field, File, MultipartDecoder, NeedData

from whisper_service.config import Config
from whisper_service.errors import InvalidRequest, TooLarge
from whisper_service.files.storage import IncomingFile
from whisper_service.web.services import services

# The limits of a form's text fields: their total size, and their number.
MAX_TEXT_BYTES, MAX_TEXTS = 64 * 1024, 100
READ_BYTES = 64 * 1024
# The decoder's limit for what it has received but not parsed yet.
BUFFER_BYTES = 2 * READ_BYTES
# A body may have several files, and one that is too large has an error of its own.
BODY_TO_FILE = 2
FORM_BYTES = 1024 * 1024
MAX_AVATAR_BYTES = 10 * 1024**2
MAX_AVATAR_BODY_BYTES = MAX_AVATAR_BYTES + FORM_BYTES
AVATAR_TOO_LARGE = "Avatar file too large. Maximum size is 10MB"


@dataclass(frozen=True)
class Part:
    """A file of a form: the field's name, the client's file name, and the received file."""

    field: str
    filename: str
    file: IncomingFile


@dataclass(frozen=True)
class Form:
    """`parts` are in the order of the body; their files are closed."""

    texts: MultiDict[str, str] = field(default_factory=MultiDict)
    parts: list[Part] = field(default_factory=list)


def max_upload_body_bytes(max_upload_bytes: int) -> int:
    """Return the largest body of an upload, if a file may have up to `max_upload_bytes`."""
    return BODY_TO_FILE * max_upload_bytes + FORM_BYTES


def upload_limit(config: Config, _length: int) -> int:
    """Return how many bytes a form with recordings may have."""
    return max_upload_body_bytes(config.storage.max_upload_bytes)


def avatar_limit(_config: Config, length: int) -> int:
    """Return how many bytes a form with an avatar may have. Raises InvalidRequest beyond."""
    if length > MAX_AVATAR_BODY_BYTES:
        raise InvalidRequest(AVATAR_TOO_LARGE)
    return MAX_AVATAR_BODY_BYTES


def is_multipart(content_type: str) -> bool:
    return parse_options_header(content_type)[0].lower() == "multipart/form-data"


def received_upload() -> AbstractContextManager[Form]:
    """Receive the request's form with files up to the configured size."""
    max_bytes = services().config.storage.max_upload_bytes
    return received_form(max_bytes, max_upload_body_bytes(max_bytes))


@contextmanager
def received_form(max_file_bytes: int, max_body_bytes: int) -> Iterator[Form]:
    """Receive the request's form. The part of a file beyond `max_file_bytes` is not written.

    For a body of another type the form is empty. On exit, files that were not moved elsewhere are
    removed. Raises InvalidRequest for an invalid or incomplete form and for one with too many
    files, TooLarge if the text fields exceed their limit, and StorageFull.
    """
    request.max_content_length = max_body_bytes
    receiver = _Receiver(max_file_bytes)
    try:
        if is_multipart(request.content_type or ""):
            receiver.receive()
        yield receiver.form
    finally:
        for file in receiver.files:
            file.discard()


class _Receiver:
    """Parses a form while it arrives. At most one file is open at a time."""

    def __init__(self, max_file_bytes: int) -> None:
        self.form = Form()
        self.files: list[IncomingFile] = []
        self._max_file_bytes = max_file_bytes
        self._max_files = services().config.limits.files_per_request
        self._part: Field | File | None = None
        self._text = bytearray()
        self._text_bytes = 0

    def receive(self) -> None:
        try:
            for event in _events(self._max_files + MAX_TEXTS):
                if isinstance(event, Field | File):
                    self._begin(event)
                elif isinstance(event, Data):
                    self._write(event.data)
                    if not event.more_data:
                        self._end()
        except ValueError as error:
            raise InvalidRequest("Invalid multipart body") from error

    def _begin(self, part: Field | File) -> None:
        self._part = part
        self._count_text(len(part.name or ""))
        if isinstance(part, File):
            self._count_text(len(part.filename))
            if len(self.form.parts) == self._max_files:
                raise InvalidRequest(f"At most {self._max_files} files can be uploaded at once")
            self.files.append(services().storage.receive(self._max_file_bytes))

    def _write(self, data: bytes) -> None:
        if isinstance(self._part, File):
            self.files[-1].write(data)
        else:
            self._count_text(len(data))
            self._text += data

    def _end(self) -> None:
        part = self._part
        if isinstance(part, File):
            file = self.files[-1]
            file.close()
            # A browser sends an empty part without a file name for an empty file field.
            if part.filename or file.size:
                self.form.parts.append(Part(part.name or "", part.filename, file))
        elif part:
            self.form.texts.add(part.name or "", self._text.decode(errors="replace"))
            self._text.clear()

    def _count_text(self, size: int) -> None:
        self._text_bytes += size
        if self._text_bytes > MAX_TEXT_BYTES:
            raise TooLarge("Request Entity Too Large")


def _events(max_parts: int) -> Iterator[Event]:
    """Yield the parser events of the request's form. Raises ValueError if it is incomplete."""
    boundary = request.mimetype_params.get("boundary", "").encode("ascii")
    if not boundary:
        raise ValueError("no boundary")
    decoder = MultipartDecoder(boundary, BUFFER_BYTES, max_parts=max_parts)
    event: Event | None = None
    while not isinstance(event, Epilogue):
        event = decoder.next_event()
        if isinstance(event, NeedData):
            decoder.receive_data(request.stream.read(READ_BYTES) or None)
        else:
            yield event
