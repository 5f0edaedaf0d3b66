"""Run a program within limits. It dies with its parent, and before it when memory runs out.

`confined.py` is what sets them, as a process that becomes the program: in a process with threads
nothing may run between fork and exec.
"""

import os
import sys
from dataclasses import astuple, dataclass
from pathlib import Path

SCRIPT = Path(__file__).with_name("confined.py")


@dataclass(frozen=True)
class Limits:
    """What a program may take; None is no limit.

    `niceness` is over the parent's. `cpu` is seconds; `memory`, of all that is mapped, and `file`,
    of each that is written, are bytes.
    """

    niceness: int = 0
    cpu: int | None = None
    memory: int | None = None
    file: int | None = None


def command(limits: Limits) -> list[str]:
    """Give what to put before a program, named by its path, and its arguments."""
    told = [os.getpid(), *(-1 if limit is None else limit for limit in astuple(limits))]
    return [sys.executable, "-I", "-S", str(SCRIPT), *map(str, told)]
