"""The size and the seed of attacks, and the service that they attack."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.live import LiveServer, start_server

FULL = bool(os.environ.get("TORTURE"))
SEED = int(os.environ.get("TORTURE_SEED", "20261122"))

# An attack on a service that is broken on purpose, which takes some seconds.
canary = pytest.mark.skipif(not FULL, reason="a canary; needs TORTURE=1")


def scale(full: int, quick: int) -> int:
    """Return the size of an attack: `full` under TORTURE=1, or else `quick`."""
    return full if FULL else quick


def in_part(part: set[str], whole: Iterable[str]) -> list[Any]:
    """Return parameters of which `make torture` alone runs those outside of a part."""
    return [pytest.param(one, marks=() if one in part else pytest.mark.torture) for one in whole]


def seeded(number: int = 0) -> Random:
    """Return a random generator that is the same in each run."""
    return Random(SEED + number)  # noqa: S311 - it keeps no secret


def start(
    storage: Path, models: Path, *, broken: str = "", fake: bool = True, **environ: str
) -> LiveServer:
    """Start the service in a process of its own.

    `fake` gives it the engine of `fake_engine.py`, which is as fast as the rest of the service;
    `broken` names one of the faults in `faults`. FAKE_SECONDS makes the engine take its time.
    """
    return start_server(storage, models, program=program(broken, fake=fake), **environ)


def program(broken: str = "", *, fake: bool = True) -> list[str]:
    """Return the command line of the service, as `start` describes it."""
    return [
        sys.executable,
        "-m",
        "tests.support.faults.service",
        "fake" if fake else "real",
        broken,
    ]


@contextmanager
def serving(storage: Path, models: Path, **how: Any) -> Iterator[LiveServer]:
    """Start the service as `start` does, and stop it; kill it if that fails."""
    server = start(storage, models, **how)
    try:
        yield server
        assert server.stop() == 0
    finally:
        server.process.kill()
        server.process.wait()


def assert_caught(attack: Callable[[], object]) -> None:
    """Run an attack that has to fail, because the service is broken on purpose."""
    with pytest.raises(AssertionError):
        attack()


Figure = Callable[[str, str, str], None]
