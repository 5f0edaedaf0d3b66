"""The interface as an OpenAPI 3.1 document, its limits and names taken from the code itself."""

from collections.abc import Iterator

from whisper_service.config import Config
from whisper_service.web.reference import (
    accounts,
    files,
    heard,
    keys,
    openai,
    schemas,
    service,
    transcriptions,
)
from whisper_service.web.reference.notation import Group, Operation, Schema, operation

ROOMS = (accounts, keys, files, transcriptions, openai, service)
GROUPS: list[Group] = [group for room in ROOMS for group in room.GROUPS]
SCHEMAS = schemas.SIMPLE | schemas.ACCOUNTS | schemas.FILES | heard.TRANSCRIPTIONS | heard.OPENAI
# The plurals of some paths are the same.
PLURALS = {
    "/api/v1/user/token": "/api/v1/user/tokens",
    "/api/v1/user/session": "/api/v1/user/sessions",
    "/api/v1/file": "/api/v1/files",
    "/api/v1/model": "/api/v1/models",
}
ABOUT = """\
Upload audio or video, get back what was said.

A caller shows an API key (`Authorization: Bearer <key>`) or a session
(`Authorization: Basic <session id>`, the id as it is, without base64).

Every error is a sentence of plain text, below `/v1/` in OpenAI's shape. `HEAD` is answered wherever
`GET` is. Every answer has an `X-Request-Id`, which the log knows. Before it is received whole a
request can be refused as malformed (400), too slow (408), too large (413, 431), or as one of too
many connections (429).
"""
SCHEMES = {
    "key": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "Type `Bearer`, a space and the API key.",
    },
    "session": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "Type `Basic`, a space and the session id.",
    },
}


def document(config: Config) -> Schema:
    """Write the document for a service that is configured so."""
    paths: dict[str, Schema] = {}
    for group in GROUPS:
        for described in group.operations:
            for path, written in _entries(described, group):
                paths.setdefault(path, {})[described.method.lower()] = written
    return {
        "openapi": "3.1.0",
        "info": {"title": "Whisper transcription service", "version": "1", "description": ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": group.tag, "description": group.about} for group in GROUPS],
        "paths": paths,
        "components": {
            "schemas": SCHEMAS | schemas.passwords_of(config),
            "securitySchemes": SCHEMES,
        },
    }


def _entries(described: Operation, group: Group) -> Iterator[tuple[str, Schema]]:
    """Write an operation down for each of the paths that it has."""
    written = operation(described, group)
    yield described.path, written
    for singular, plural in PLURALS.items():
        head, _, rest = described.path.partition(singular)
        if not head and rest[:1] in {"", "/"}:
            name = f"{described.name}AtPlural"
            same = f"The same as `{described.path}`."
            alias = {"operationId": name, "deprecated": True, "description": same}
            yield plural + rest, written | alias
