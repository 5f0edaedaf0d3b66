"""The service as `app.py` starts it, with the engine and the fault that are asked for."""

import sys
from collections.abc import Callable
from pathlib import Path

import app
from whisper_service import engine

FAKE_ENGINE = Path(__file__).with_name("fake_engine.py")

# Each breaks the service in one way, for an attack to find.
FAULTS: dict[str, Callable[[], None]] = {}


def main() -> int:
    kind, broken = sys.argv[1:]
    if kind == "fake":
        engine.PROGRAM = [sys.executable, str(FAKE_ENGINE)]
    if broken:
        FAULTS[broken]()
    sys.argv[1:] = []
    return app.main()


if __name__ == "__main__":
    sys.exit(main())
