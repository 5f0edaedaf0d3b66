"""Every error of the interface: plain text, the same shape for all, made here once."""

import logging

from flask import Flask, Response
from peewee import IntegrityError, OperationalError
from werkzeug.exceptions import HTTPException

from whisper_service import db
from whisper_service.errors import Conflict, ServiceError, StorageFull

logger = logging.getLogger(__name__)


def register(app: Flask) -> None:
    app.register_error_handler(ServiceError, _expected)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(OSError, _system)
    app.register_error_handler(OperationalError, _system)
    app.register_error_handler(IntegrityError, _race)
    app.register_error_handler(Exception, _unexpected)


def text(status: int, message: str) -> Response:
    return Response(message, status, mimetype="text/plain")


def _expected(error: ServiceError) -> Response:
    response = text(error.status, str(error))
    if error.retry_after:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _http(error: HTTPException) -> Response:
    """Keep the status and headers such as Allow, but not Werkzeug's HTML."""
    response = text(error.code or 500, error.name)
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
    return text(500, "Internal server error")
