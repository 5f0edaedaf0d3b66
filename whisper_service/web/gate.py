"""What a request may bring, told from its headers, before any of its body is received."""

import re
from functools import partial

from whisper_service.config import Config
from whisper_service.db import database
from whisper_service.reception import Head, Rules
from whisper_service.storage import Storage
from whisper_service.web import MAX_BODY_BYTES, PREFIX, auth, forms
from whisper_service.web.errors import OPENAI_PREFIX, described

_UPLOADS = re.compile(
    rf"POST {PREFIX}/files?|PATCH {PREFIX}/user"
    rf"|POST {OPENAI_PREFIX}/audio/(transcriptions|translations)"
)
# A body lies on disk twice while it is cut into files: as it came, and what was cut.
BODY_COPIES = 2


def rules(config: Config, storage: Storage) -> Rules:
    judge = partial(_judge, config, storage)
    server = config.server
    return Rules(
        judge,
        described,
        storage.has_room,
        server.connections_per_address,
        server.trusted_proxy,
    )


def _judge(config: Config, storage: Storage, head: Head) -> int:
    """Tell how many bytes a body may have.

    Raises Unauthenticated for an upload by nobody, StorageFull for one that the disk cannot hold.
    """
    if not _UPLOADS.fullmatch(f"{head.method} {head.path}"):
        return MAX_BODY_BYTES
    database.connect(reuse_if_open=True)
    auth.authenticate(head.headers.get("AUTHORIZATION", ""), config.auth.session_hours)
    storage.ensure_room(BODY_COPIES * head.length)
    return forms.max_body_bytes(config.storage.max_upload_bytes)
