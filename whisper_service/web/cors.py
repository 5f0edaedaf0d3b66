"""Access for web pages of other origins (Fetch standard, section 3.2)."""

from flask import Flask, Response, request

from whisper_service.config import Config
from whisper_service.web import tus
from whisper_service.web.services import services

METHODS = "GET, HEAD, POST, PATCH, DELETE"
REQUEST_HEADERS = (
    f"Authorization, Content-Type, Range, If-Range, If-None-Match, {tus.REQUEST_HEADERS}"
)
RESPONSE_HEADERS = (
    f"Content-Disposition, Content-Range, ETag, Retry-After, X-Request-Id, {tus.RESPONSE_HEADERS}"
)
PREFLIGHT_SECONDS = "600"


def register(app: Flask) -> None:
    app.before_request(_preflight)
    app.after_request(_allow)


def _preflight() -> Response | None:
    """Answer a preflight request of an allowed origin."""
    is_preflight = (
        request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    )
    if not (is_preflight and allow(request.headers.get("Origin"), services().config)):
        return None
    response = Response(status=204)
    response.headers["Access-Control-Allow-Methods"] = METHODS
    response.headers["Access-Control-Allow-Headers"] = REQUEST_HEADERS
    response.headers["Access-Control-Max-Age"] = PREFLIGHT_SECONDS
    return response


def _allow(response: Response) -> Response:
    if services().config.server.cors_origins:
        response.vary.add("Origin")
    allowed = allow(request.headers.get("Origin"), services().config)
    response.headers.update(allowed)
    return response


def allow(origin: str | None, config: Config) -> dict[str, str]:
    """Return the headers that allow a page of an origin to read a response, if it may."""
    if origin is None or origin not in config.server.cors_origins:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": RESPONSE_HEADERS,
    }
