"""Ports of this machine."""

import socket
from random import SystemRandom

# Connections of other tests come from the ports above, and so do their servers.
PORTS = range(20_000, 32_000)


def free_port() -> int:
    """Return a port that stays free until a test uses it, or uses it again."""
    for port in SystemRandom().sample(PORTS, 100):
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                taken.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")
