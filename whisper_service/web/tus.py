"""The headers of tus 1.0.0 for resumable uploads (tus.io/protocols/resumable-upload)."""

import hashlib
from base64 import b64decode
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, BinaryIO, Protocol

from blake3 import blake3

from whisper_service.errors import InvalidRequest
from whisper_service.files import filenames
from whisper_service.files.resumable import NewUpload, Piece

VERSION = "1.0.0"
EXTENSIONS = "creation,expiration,termination,checksum"
CONTENT_TYPE = "application/offset+octet-stream"
REQUEST_HEADERS = (
    "Tus-Resumable, Upload-Length, Upload-Offset, Upload-Metadata, Upload-Checksum, "
    "X-HTTP-Method-Override"
)
RESPONSE_HEADERS = (
    "Location, Tus-Resumable, Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm, "
    "Upload-Length, Upload-Offset, Upload-Metadata, Upload-Expires, File-UUID"
)
CHECKSUM_MISMATCH = 460
MAX_METADATA = 4096  # characters
# A file may not have as many bytes, whatever the configuration.
MAX_DIGITS = 16
READ_BYTES = 256 * 1024


class Hash(Protocol):
    def update(self, data: bytes, /) -> Any: ...  # noqa: ANN401

    def digest(self) -> bytes: ...


ALGORITHMS: Mapping[str, Callable[[], Hash]] = {
    "sha1": partial(hashlib.sha1, usedforsecurity=False),
    "sha256": hashlib.sha256,
    "md5": partial(hashlib.md5, usedforsecurity=False),
    "blake3": blake3,
}

# A request's header by its name; None if it is missing.
Headers = Callable[[str], str | None]


def check_version(headers: Headers) -> None:
    """Raise InvalidRequest (412) unless the client speaks this version."""
    if headers("Tus-Resumable") != VERSION:
        raise InvalidRequest(f"Tus-Resumable must be {VERSION}", 412)


def new_upload(headers: Headers) -> NewUpload:
    """Return the upload that a request declares. Raises InvalidRequest."""
    for name in ("Upload-Defer-Length", "Upload-Concat"):
        if headers(name) is not None:
            raise InvalidRequest(f"{name} is not supported")
    size_bytes = _integer(headers, "Upload-Length")
    if size_bytes == 0:
        raise InvalidRequest("The file is empty")
    metadata = headers("Upload-Metadata") or ""
    if len(metadata) > MAX_METADATA or not metadata.isascii():
        raise InvalidRequest(f"Upload-Metadata must be at most {MAX_METADATA} ASCII characters")
    return NewUpload(size_bytes, metadata, filenames.clean(_filename(metadata)) or "file")


def piece(headers: Headers, length: int) -> Piece:
    """Return where a body of a length is appended. Raises InvalidRequest (415: its type)."""
    if (headers("Content-Type") or "").partition(";")[0].strip().lower() != CONTENT_TYPE:
        raise InvalidRequest(f"The body must be {CONTENT_TYPE}", 415)
    return Piece(_integer(headers, "Upload-Offset"), length)


def checksum(headers: Headers) -> tuple[Hash, bytes] | None:
    """Return a new hash, and what it has to be of the body; None if nothing is said.

    Raises InvalidRequest for an unknown algorithm and for what cannot be its result.
    """
    value = headers("Upload-Checksum")
    if value is None:
        return None
    name, _, encoded = value.partition(" ")
    if name not in ALGORITHMS:
        raise InvalidRequest(f"Unsupported checksum algorithm. Must be one of: {_names(', ')}")
    new = ALGORITHMS[name]()
    expected = _decode(encoded, "Upload-Checksum")
    if len(expected) != len(new.digest()):
        raise InvalidRequest("Upload-Checksum has a wrong length")
    return new, expected


def verify(body: BinaryIO, claimed: tuple[Hash, bytes]) -> None:
    """Read a body, and go back to its start. Raises InvalidRequest (460) if it differs."""
    new, expected = claimed
    while data := body.read(READ_BYTES):
        new.update(data)
    if new.digest() != expected:
        raise InvalidRequest("Checksum mismatch", CHECKSUM_MISMATCH)
    body.seek(0)


def capabilities(max_bytes: int) -> dict[str, str]:
    """Return the headers that say what the server supports."""
    return {
        "Tus-Resumable": VERSION,
        "Tus-Version": VERSION,
        "Tus-Extension": EXTENSIONS,
        "Tus-Max-Size": str(max_bytes),
        "Tus-Checksum-Algorithm": _names(","),
    }


def _names(separator: str) -> str:
    return separator.join(ALGORITHMS)


def _integer(headers: Headers, name: str) -> int:
    value = headers(name) or ""
    if not (value.isascii() and value.isdecimal() and len(value) <= MAX_DIGITS):
        raise InvalidRequest(f"{name} must be a non-negative integer")
    return int(value)


def _filename(metadata: str) -> str:
    """Return the `filename` of pairs of a key and a base64 value; '' if there is none."""
    for pair in metadata.split(","):
        key, _, encoded = pair.strip().partition(" ")
        if key == "filename":
            try:
                return _decode(encoded, "filename in Upload-Metadata").decode()
            except UnicodeDecodeError as error:
                raise InvalidRequest("filename in Upload-Metadata must be UTF-8") from error
    return ""


def _decode(encoded: str, name: str) -> bytes:
    try:
        return b64decode(encoded.strip(), validate=True)
    except ValueError as error:
        raise InvalidRequest(f"{name} must be base64") from error
