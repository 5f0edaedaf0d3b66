"""The service as `app.py` starts it, with an engine and a fault that are given as arguments.

DOOR_SECONDS says how long a request's head may take, and how often its body's pace is looked at,
ENGINE_SECONDS how long an engine may take for a task.
"""

import os
import sys
from collections.abc import Callable

import app
from tests.support.faults import disk, jobs, web, webhooks, work
from whisper_service.whisper import engine

# Each breaks the service in one way, for an attack to find.
FAULTS: dict[str, Callable[[], None]] = {
    **disk.FAULTS,
    **jobs.FAULTS,
    **web.FAULTS,
    **webhooks.FAULTS,
    **work.FAULTS,
}


def main() -> int:
    kind, broken = sys.argv[1:]
    if kind == "fake":
        engine.PROGRAM = [sys.executable, "-m", "tests.support.fake_engine"]
    if seconds := os.environ.get("DOOR_SECONDS"):
        web.set_deadlines(float(seconds))
    if seconds := os.environ.get("ENGINE_SECONDS"):
        work.set_limit(float(seconds))
    if broken:
        FAULTS[broken]()
    sys.argv[1:] = []
    return app.main()


if __name__ == "__main__":
    sys.exit(main())
