"""Access for web pages of other origins (Fetch standard, section 3.2)."""

from flask import Flask, Response, request

from whisper_service.web.services import services

METHODS = "GET, HEAD, POST, PATCH, DELETE"
REQUEST_HEADERS = "Authorization, Content-Type, Range, If-Range, If-None-Match"
RESPONSE_HEADERS = "Content-Disposition, Content-Range, ETag, Retry-After, X-Request-Id"
PREFLIGHT_SECONDS = "600"


def register(app: Flask) -> None:
    app.before_request(_preflight)
    app.after_request(_allow)


def _preflight() -> Response | None:
    """Answer a preflight request of an allowed origin."""
    is_preflight = (
        request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    )
    if not (is_preflight and _is_allowed()):
        return None
    response = Response(status=204)
    response.headers["Access-Control-Allow-Methods"] = METHODS
    response.headers["Access-Control-Allow-Headers"] = REQUEST_HEADERS
    response.headers["Access-Control-Max-Age"] = PREFLIGHT_SECONDS
    return response


def _allow(response: Response) -> Response:
    if services().config.server.cors_origins:
        response.vary.add("Origin")
    if _is_allowed():
        response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
        response.headers["Access-Control-Expose-Headers"] = RESPONSE_HEADERS
    return response


def _is_allowed() -> bool:
    return request.headers.get("Origin") in services().config.server.cors_origins
