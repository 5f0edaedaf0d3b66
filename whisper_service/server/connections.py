"""The open connections: how many a client has, and when they end."""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from waitress.server import BaseWSGIServer

from whisper_service.server.admission import Admission
from whisper_service.server.channel import HTTPChannel


class ConnectionManager:
    """Manages the connections of all servers that are added. A client has at most `per_client`."""

    def __init__(self, admission: Admission, per_client: int) -> None:
        self._admission = admission
        self._per_client = per_client
        self._servers: list[Any] = []  # the stubs have no `active_channels`

    def add(self, server: BaseWSGIServer) -> None:
        server.channel_class = partial(  # type: ignore[assignment]
            HTTPChannel, self._admission, self.has_too_many
        )
        self._servers.append(server)

    def has_too_many(self, client: str) -> bool:
        """Return whether a client has more connections than it may, its latest included."""
        return sum(channel.client == client for channel in self._channels()) > self._per_client

    def reject_slow(self) -> None:
        """Reject the requests that arrive too slowly."""
        now = time.monotonic()
        for channel in list(self._channels()):
            channel.reject_slow(now)

    def stop_accepting(self) -> None:
        """Accept no more connections, and answer one more request on each that is open."""
        for server in self._servers:
            accepted = -1
            while accepted != len(server.active_channels):  # those in the listen queue
                accepted = len(server.active_channels)
                server.handle_accept()
            server.del_channel()
            server.socket.close()
        for channel in self._channels():
            channel.answer_last()

    def close_idle(self, seconds: float) -> bool:
        """Close the connections idle for longer than that. Return whether any were open."""
        channels = list(self._channels())
        for channel in channels:
            if channel.is_idle(seconds):
                channel.will_close = True
        return bool(channels)

    def _channels(self) -> Iterator[HTTPChannel]:
        for server in self._servers:
            yield from server.active_channels.values()
