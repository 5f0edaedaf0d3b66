"""Requests that wait until a transcription has changed, so that clients need not poll.

Each holds a thread while it waits, so their number is limited; the others are not kept waiting.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Protocol

from flask import Response, request

from whisper_service.errors import ServiceError, TooManyRequests
from whisper_service.web import serializers
from whisper_service.web.auth import current_network
from whisper_service.web.services import Services

# A line now and then keeps proxies from ending a stream, and shows that its client is gone.
HEARTBEAT_SECONDS = 15
# How often to look whether the client is still there.
LOOK_SECONDS = 0.5


class Look(Protocol):
    def __call__(self, *, admitted: bool = False) -> dict[str, Any]:
        """Return the state of a transcription. Raises ServiceError.

        `admitted` says that the request counts as waiting, which limits their number already.
        """


def disconnect_check() -> Callable[[], bool]:
    """Return a function that tells whether the client of the request is gone."""
    check: Callable[[], bool] = request.environ.get("waitress.client_disconnected", lambda: False)
    return check


def until_changed(
    services: Services, look: Look, is_gone: Callable[[], bool], seconds: float
) -> dict[str, Any]:
    """Return the status once it has changed, or after `seconds`.

    If the limit of waiting requests is reached, it is returned at once.
    """
    first = answer = look()
    network = current_network()
    if not seconds or not services.waiting.acquire(network):
        return answer
    try:
        until = time.monotonic() + seconds
        while answer["status"] == first["status"] and not (_is_final(answer) or is_gone()):
            left = until - time.monotonic()
            if left <= 0 or not services.worker.changes.wait_for_change(min(left, LOOK_SECONDS)):
                break
            answer = look(admitted=True)
    finally:
        services.waiting.release(network)
    return answer


def stream(services: Services, look: Look, is_gone: Callable[[], bool]) -> Response:
    """Return a stream of server-sent events (WHATWG HTML, section 9.2) that ends with the work.

    Raises TooManyRequests if the limit of waiting requests is reached.
    """
    first = look()
    network = current_network()
    if not services.waiting.acquire(network):
        raise TooManyRequests("Too many requests are waiting. Ask for the status instead", 5)
    response = Response(_events(services, look, is_gone, first), mimetype="text/event-stream")
    response.call_on_close(partial(services.waiting.release, network))
    response.headers["Cache-Control"] = "no-store"
    return response


def _events(
    services: Services, look: Look, is_gone: Callable[[], bool], answer: dict[str, Any]
) -> Iterator[bytes]:
    yield _event(answer)
    last, sent = answer, time.monotonic()
    while not (_is_final(last) or is_gone()) and services.worker.changes.wait_for_change(
        LOOK_SECONDS
    ):
        try:
            answer = look(admitted=True)
        except ServiceError:
            return  # it was deleted
        if _changing_fields(answer) != _changing_fields(last):
            yield _event(answer)
            last, sent = answer, time.monotonic()
        elif time.monotonic() - sent > HEARTBEAT_SECONDS:
            yield b":\n\n"
            sent = time.monotonic()


def _event(answer: dict[str, Any]) -> bytes:
    return b"event: status\ndata: %s\n\n" % serializers.to_json(answer)


def _changing_fields(answer: dict[str, Any]) -> list[Any]:
    return [answer.get(name) for name in ("status", "queue_position", "progress", "text")]


def _is_final(answer: dict[str, Any]) -> bool:
    return answer["status"] in {"completed", "failed"}
