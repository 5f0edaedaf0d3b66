"""An id for each request, in its answer and its log lines."""

import logging
import time

from flask import Flask, Response, g, request

from whisper_service import ids, logs, metrics

logger = logging.getLogger(__name__)

METHODS = {"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"}


def register(app: Flask) -> None:
    app.before_request(_begin)
    app.after_request(_end)
    app.teardown_request(_forget)


def _begin() -> None:
    g.started = time.perf_counter()
    logs.request_id.set(ids.uuid7())


def _end(response: Response) -> Response:
    """Count it, and log what changed something or failed.

    The route stands for the path, which holds ids.
    """
    response.headers["X-Request-Id"] = logs.request_id.get()
    route = request.url_rule.rule if request.url_rule else "unknown"
    method = request.method if request.method in METHODS else "another"
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


def _forget(_error: BaseException | None) -> None:
    """Leave the thread without a request, for what it logs before the next one."""
    logs.request_id.set("")
