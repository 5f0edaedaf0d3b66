"""How large the attacks are, what they may use, and how they start what they attack."""

import os
import sys
from pathlib import Path

from tests.conftest import LiveServer, start_server

FULL = bool(os.environ.get("TORTURE"))
SEED = int(os.environ.get("TORTURE_SEED", "20261122"))


def scale(full: int, quick: int) -> int:
    """Give the size of an attack: the whole or the short one."""
    return full if FULL else quick


def start(
    storage: Path, models: Path, *, broken: str = "", fake: bool = True, **environ: str
) -> LiveServer:
    """Start the service in a process of its own.

    `fake` gives it the engine of `fake_engine.py`, which is as fast as the rest of the service;
    `broken` names one of the faults in `service.py`. FAKE_SECONDS makes the engine take its time.
    """
    program = [sys.executable, "-m", "tests.torture.service", "fake" if fake else "real", broken]
    return start_server(storage, models, program=program, **environ)
