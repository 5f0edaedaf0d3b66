"""Request logging: an id for each request, in its response and its log lines."""

import logging
import time

from flask import Flask, Response, g, request

from whisper_service import ids, logs, metrics

logger = logging.getLogger(__name__)

METHODS = {"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"}


def register(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_reset)


def _begin() -> None:
    g.started = time.perf_counter()
    logs.request_id.set(ids.uuid7())


def _end(response: Response) -> Response:
    """Count the request, and log it if it failed or may have changed something.

    The log has the route instead of the path, which contains ids.
    """
    response.headers["X-Request-Id"] = logs.request_id.get()
    route = request.url_rule.rule if request.url_rule else "unknown"
    method = request.method if request.method in METHODS else "other"
    metrics.answered(method, route, response.status_code)
    if method not in {"GET", "HEAD"} or response.status_code >= 400:
        milliseconds = (time.perf_counter() - g.started) * 1000
        user = f" by {g.user.uuid}" if "user" in g else ""
        logger.info(
            "%s %s %d in %.0f ms%s",
            method,
            route,
            response.status_code,
            milliseconds,
            user,
        )
    return response


def _reset(_error: BaseException | None) -> None:
    """Clear the request id, for what the thread logs before its next request."""
    logs.request_id.set("")
