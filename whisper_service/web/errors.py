"""Error responses: plain text, or OpenAI's JSON for its clients."""

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
    app.register_error_handler(ServiceError, _service_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(OSError, _system_error)
    app.register_error_handler(OperationalError, _system_error)
    app.register_error_handler(IntegrityError, _conflict)
    app.register_error_handler(Exception, _unexpected_error)


def render_error(path: str, error: ServiceError) -> tuple[str, str]:
    """Return the content type and the body of an error in a response to a request for `path`."""
    if not path.startswith(f"{OPENAI_PREFIX}/"):
        return "text/plain; charset=utf-8", str(error)
    kind, code = OPENAI_KINDS.get(error.status, ("invalid_request_error", None))
    if isinstance(error, QuotaExceeded):
        kind = "insufficient_quota"
    body = {"message": str(error), "type": kind, "param": None, "code": error.code or code}
    return "application/json", json.dumps({"error": body})


def _service_error(error: ServiceError) -> Response:
    content_type, text = render_error(request.path, error)
    response = Response(text, error.status, content_type=content_type)
    if error.retry_after:
        response.headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, QuotaExceeded):
        response.headers["X-Should-Retry"] = "false"  # for OpenAI's clients
    return response


def _http_error(error: HTTPException) -> Response:
    """Keep the status and headers such as Allow, without Werkzeug's HTML."""
    response = _service_error(ServiceError(error.name, error.code))
    for name, value in error.get_headers():
        if name.lower() != "content-type":
            response.headers[name] = value
    return response


def _system_error(error: Exception) -> Response:
    if db.is_full(error):
        return _service_error(StorageFull("The server's disk is full"))
    return _unexpected_error(error)


def _conflict(error: IntegrityError) -> Response:
    """Answer a request that lost a race, such as with the deletion of its account."""
    logger.warning("A request conflicted with another one: %s", error)
    return _service_error(Conflict("The request conflicts with another one"))


def _unexpected_error(error: Exception) -> Response:
    logger.error("A request failed", exc_info=error)
    return _service_error(ServiceError("Internal server error"))
