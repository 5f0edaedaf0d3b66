"""An id for each request, in its answer and its log lines."""

import logging
import time

from flask import Flask, Response, g, request

from whisper_service import ids, logs

logger = logging.getLogger(__name__)


def register(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.started = time.perf_counter()
    logs.request_id.set(ids.uuid7())


def _end(response: Response) -> Response:
    """Log what changed something or failed. The route stands for the path, which holds ids."""
    response.headers["X-Request-Id"] = logs.request_id.get()
    if request.method not in {"GET", "HEAD"} or response.status_code >= 400:
        route = request.url_rule.rule if request.url_rule else "unknown"
        milliseconds = (time.perf_counter() - g.started) * 1000
        user = f" by {g.user.uuid}" if "user" in g else ""
        logger.info(
            "%s %s %d in %.0f ms%s",
            request.method,
            route,
            response.status_code,
            milliseconds,
            user,
        )
    return response
