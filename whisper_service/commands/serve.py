"""Running the service until it is stopped."""

import signal
import sys
from types import FrameType

from whisper_service.config import Config
from whisper_service.server.server import Server

SWITCH_SECONDS = 0.0005


def run(settings: Config) -> None:
    # Requests need the interpreter only briefly: with Python's default of 5 ms a thread that parses
    # a large upload, or rejects many requests, would delay the others by several times that.
    sys.setswitchinterval(SWITCH_SECONDS)
    with Server(settings) as server:

        def stop(number: int, _frame: FrameType | None) -> None:
            server.stop()
            signal.signal(number, signal.SIG_DFL)  # the second signal ends it at once

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        print(server.greeting(), flush=True)
        server.run()
