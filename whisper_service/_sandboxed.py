"""Set limits, sandbox this process and become another program: what `sandbox.command` runs.

`PARENT NICENESS CPU MEMORY FILE RIGHTS FILTER RULE... -- PROGRAM ARGUMENT...`: limits are -1 for
none, RIGHTS and FILTER hexadecimal, and a rule is `RIGHTS:PATH`; sandbox.py computes them. It
starts before every run of ffmpeg, so it imports as little as possible (`signal` alone takes 3 ms).
"""

import ctypes
import os
import resource
import struct
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38  # linux/prctl.h
SIGKILL = 9
OOM_SCORE = b"800"  # of 1000: killed first when memory runs out
MAX_DESCRIPTORS = 64
KINDS = (resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_FSIZE)
# System calls, the same on all machines but for seccomp.
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446
SECCOMP = {"x86_64": 317, "aarch64": 277}
LANDLOCK_RULE_PATH_BENEATH = 1  # linux/landlock.h
SECCOMP_SET_MODE_FILTER = 1  # linux/seccomp.h
# Without it kernels before 5.16 slow down every process with a filter.
SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4


def main() -> None:
    parent, niceness, *limits = map(int, sys.argv[1:6])
    rights, system_calls = map(bytes.fromhex, sys.argv[6:8])
    end = sys.argv.index("--")
    rules, program = sys.argv[8:end], sys.argv[end + 1 :]
    os.nice(niceness)
    for kind, limit in zip(KINDS, limits, strict=True):
        # macOS defines a limit of memory, but rejects it.
        if limit >= 0 and (sys.platform == "linux" or kind != resource.RLIMIT_AS):
            resource.setrlimit(kind, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_DESCRIPTORS, MAX_DESCRIPTORS))
    if sys.platform == "linux":
        score = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(score, OOM_SCORE)
        os.close(score)
        LIBC.prctl(PR_SET_PDEATHSIG, SIGKILL)
        if os.getppid() != parent:
            sys.exit("the parent is gone")
        restrict(rights, rules, system_calls)
    os.execv(program[0], program)  # noqa: S606 - its purpose


def restrict(rights: bytes, rules: list[str], system_calls: bytes) -> None:
    """Sandbox this process, and the program that it becomes, permanently. It must have one thread.

    Empty arguments are skipped. Raises OSError when the kernel refuses.
    """
    LIBC.prctl(PR_SET_NO_NEW_PRIVS, *(ctypes.c_ulong(word) for word in (1, 0, 0, 0)))
    if rights:
        ruleset = system_call(LANDLOCK_CREATE_RULESET, rights, len(rights), 0)
        for rule in rules:
            _allow(ruleset, rule)
        system_call(LANDLOCK_RESTRICT_SELF, ruleset, 0)
        os.close(ruleset)
    if system_calls:
        steps = ctypes.create_string_buffer(system_calls, len(system_calls))
        program = struct.pack("HP", len(system_calls) // 8, ctypes.addressof(steps))
        flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW
        system_call(SECCOMP[os.uname().machine], SECCOMP_SET_MODE_FILTER, flags, program)


def _allow(ruleset: int, rule: str) -> None:
    rights, _, path = rule.partition(":")
    try:
        place = os.open(path, os.O_PATH)
    except FileNotFoundError:
        return
    beneath = struct.pack("=Qi", int(rights), place)
    system_call(LANDLOCK_ADD_RULE, ruleset, LANDLOCK_RULE_PATH_BENEATH, beneath, 0)
    os.close(place)


def system_call(number: int, *arguments: int | bytes) -> int:
    words = (ctypes.c_long(each) if isinstance(each, int) else each for each in arguments)
    result: int = LIBC.syscall(ctypes.c_long(number), *words)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


if __name__ == "__main__":
    main()
