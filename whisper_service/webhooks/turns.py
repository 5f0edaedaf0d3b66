"""Turns: which endpoint is served next, so that a slow receiver delays nobody else's messages."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from whisper_service.tables import WebhookEndpoint
from whisper_service.webhooks import outbox


class Turns:
    """The attempts under way: at most one for each user.

    At most `max_failing` are for endpoints whose last attempt failed: they may take all of their
    time again.
    """

    def __init__(self, max_failing: int) -> None:
        self._max_failing = max_failing
        self._lock = threading.Lock()
        self._under_way: dict[int, bool] = {}  # by user: whether the endpoint is failing

    @contextmanager
    def take(self, now: float) -> Iterator[WebhookEndpoint | None]:
        """Reserve the endpoint whose turn it is; None if nothing is due that may begin."""
        with self._lock:
            only_healthy = sum(self._under_way.values()) >= self._max_failing
            endpoint = outbox.next_endpoint(now, self._under_way, only_healthy=only_healthy)
            if endpoint:
                self._under_way[endpoint.user_id] = bool(endpoint.failing_since)
        try:
            yield endpoint
        finally:
            if endpoint:
                with self._lock:
                    del self._under_way[endpoint.user_id]
