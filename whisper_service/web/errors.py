"""Every error of the interface: plain text, the same shape for all, made here once."""

import json
import logging

from flask import Flask, Response, request
from peewee import IntegrityError, OperationalError
from werkzeug.exceptions import HTTPException

from whisper_service import db
from whisper_service.errors import Conflict, QuotaExceeded, ServiceError, StorageFull

logger = logging.getLogger(__name__)

OPENAI_PREFIX = "/v1"
OPENAI_KINDS = {
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
    500: ("server_error", None),
    503: ("server_error", None),
    507: ("server_error", None),
}


def register(app: Flask) -> None:
    app.register_error_handler(ServiceError, _expected)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(OSError, _system)
    app.register_error_handler(OperationalError, _system)
    app.register_error_handler(IntegrityError, _race)
    app.register_error_handler(Exception, _unexpected)


def render_error(path: str, error: ServiceError) -> tuple[str, str]:
    """Return the content type and the text of an error: OpenAI's shape for its clients."""
    if not path.startswith(f"{OPENAI_PREFIX}/"):
        return "text/plain; charset=utf-8", str(error)
    kind, code = OPENAI_KINDS.get(error.status, ("invalid_request_error", None))
    if isinstance(error, QuotaExceeded):
        kind = "insufficient_quota"
    told = {"message": str(error), "type": kind, "param": None, "code": error.code or code}
    return "application/json", json.dumps({"error": told})


def _expected(error: ServiceError) -> Response:
    content_type, text = render_error(request.path, error)
    response = Response(text, error.status, content_type=content_type)
    if error.retry_after:
        response.headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, QuotaExceeded):
        response.headers["X-Should-Retry"] = "false"  # which OpenAI's clients heed
    return response


def _http(error: HTTPException) -> Response:
    """Keep the status and headers such as Allow, but not Werkzeug's HTML."""
    response = _expected(ServiceError(error.name, error.code))
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers[name] = value
    return response


def _system(error: Exception) -> Response:
    if db.is_full(error):
        return _expected(StorageFull("The server's disk is full"))
    return _unexpected(error)


def _race(error: IntegrityError) -> Response:
    """Answer a request whose rows another one took away, such as those of a deleted account."""
    logger.warning("A request met another one: %s", error)
    return _expected(Conflict("The request conflicts with another one"))


def _unexpected(error: Exception) -> Response:
    logger.error("A request failed", exc_info=error)
    return _expected(ServiceError("Internal server error"))
