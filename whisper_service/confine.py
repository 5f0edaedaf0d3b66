"""Run a program within limits. It dies with its parent, and before it when memory runs out.

This file is what sets them, as a process that becomes the program: in a process with threads
nothing may run between fork and exec.
"""

import ctypes
import json
import os
import resource
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
OOM_SCORE = "800"  # of 1000: first to go
KINDS = {"cpu": resource.RLIMIT_CPU, "memory": resource.RLIMIT_AS, "file": resource.RLIMIT_FSIZE}


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
    asked = json.dumps({**asdict(limits), "parent": os.getpid()})
    return [sys.executable, "-I", "-S", __file__, asked]


def main() -> None:
    asked, *program = sys.argv[1:]
    limits = json.loads(asked)
    parent = limits.pop("parent")
    os.nice(limits.pop("niceness"))
    for name, limit in limits.items():
        if limit is not None:
            resource.setrlimit(KINDS[name], (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE, encoding="ascii")
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the parent is gone")
    os.execv(program[0], program)  # noqa: S606 - that is what it is for


if __name__ == "__main__":
    main()
