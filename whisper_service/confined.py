"""Sets limits and becomes another program: the script that `confine.command` puts before it.

`PARENT NICENESS CPU MEMORY FILE PROGRAM ARGUMENT...`, with -1 for no limit. It starts before every
run of ffmpeg, so it imports next to nothing.
"""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
OOM_SCORE = b"800"  # of 1000: first to go
KINDS = (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_FSIZE)


def main() -> None:
    parent, niceness, *limits = map(int, sys.argv[1:6])
    program = sys.argv[6:]
    os.nice(niceness)
    for kind, limit in zip(KINDS, limits, strict=True):
        # macOS knows a limit of memory by its name alone.
        if limit >= 0 and (sys.platform == "linux" or kind != resource.RLIMIT_AS):
            resource.setrlimit(kind, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        score = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(score, OOM_SCORE)
        os.close(score)
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the parent is gone")
    os.execv(program[0], program)  # noqa: S606 - that is what it is for


if __name__ == "__main__":
    main()
