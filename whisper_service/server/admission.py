"""What a request may bring and which threads serve it, told from its headers."""

import os
import re
from collections.abc import Mapping
from functools import partial

from whisper_service.config import Config
from whisper_service.db import database
from whisper_service.errors import InvalidRequest
from whisper_service.files.storage import Storage
from whisper_service.server.dispatcher import SHORT, PoolSize
from whisper_service.server.parser import RequestHead, Rules
from whisper_service.web import MAX_BODY_BYTES, PREFIX, auth, forms
from whisper_service.web.errors import OPENAI_PREFIX, render_error

UPLOAD, REGISTRATION, CREDENTIALS, SPEECH = "upload", "registration", "credentials", "speech"
_UPLOAD = rf"POST {PREFIX}/files?"
_PROFILE = rf"PATCH {PREFIX}/user"
_SPEECH = rf"POST {OPENAI_PREFIX}/audio/(transcriptions|translations)"
_FORMS = re.compile(f"{_UPLOAD}|{_PROFILE}|{_SPEECH}")
# Work that holds a thread: cutting a body into files and probing them; hashing a password, which
# takes a core for a quarter of a second; waiting for the end of a transcription.
_POOLS = {
    UPLOAD: re.compile(_UPLOAD),
    REGISTRATION: re.compile(rf"POST {PREFIX}/user/register"),
    CREDENTIALS: re.compile(rf"POST {PREFIX}/user/login|DELETE {PREFIX}/user|{_PROFILE}"),
    SPEECH: re.compile(_SPEECH),
}
# A body lies on disk twice while it is cut into files: as it came, and what was cut.
BODY_COPIES = 2


def rules(config: Config, storage: Storage) -> Rules:
    server = config.server
    return Rules(
        partial(_max_body_bytes, config, storage),
        render_error,
        storage.has_room,
        pool_of,
        server.connections_per_address,
        server.trusted_proxy,
    )


def pool_sizes(threads: int) -> Mapping[str, PoolSize]:
    """Size the pools around one of `threads` for short requests.

    No address ever holds all threads of a pool.
    """
    uploads, hashes, waits = max(2, threads // 4), (os.cpu_count() or 1) + 2, threads // 2
    return {
        SHORT: PoolSize(threads, threads - 1),
        UPLOAD: PoolSize(uploads, uploads - 1),
        REGISTRATION: PoolSize(hashes, hashes - 1),
        CREDENTIALS: PoolSize(hashes, hashes - 1),
        SPEECH: PoolSize(waits, waits // 2),
    }


def pool_of(method: str, path: str) -> str:
    """Name the pool that serves a request."""
    target = f"{method} {path}"
    return next((name for name, route in _POOLS.items() if route.fullmatch(target)), SHORT)


def _max_body_bytes(config: Config, storage: Storage, head: RequestHead) -> int:
    """Return how many bytes a body may have.

    Raises Unauthenticated for an upload by nobody, StorageFull for one that the disk cannot hold,
    InvalidRequest for a large body that is no form and for a picture that is too large.
    """
    if not _FORMS.fullmatch(f"{head.method} {head.path}"):
        return MAX_BODY_BYTES
    database.connect(reuse_if_open=True)
    auth.authenticate(head.headers.get("AUTHORIZATION", ""), config.auth.session_hours)
    if not forms.is_multipart(head.headers.get("CONTENT_TYPE", "")):
        if head.length > MAX_BODY_BYTES:
            raise InvalidRequest("Files must be sent as multipart/form-data")
        return MAX_BODY_BYTES
    most = _max_form_bytes(config, head)
    storage.ensure_room(BODY_COPIES * head.length)
    return most


def _max_form_bytes(config: Config, head: RequestHead) -> int:
    if head.method == "POST":
        return forms.max_upload_body_bytes(config.storage.max_upload_bytes)
    if head.length > forms.MAX_AVATAR_BODY_BYTES:
        raise InvalidRequest(forms.AVATAR_TOO_LARGE)
    return forms.MAX_AVATAR_BODY_BYTES
