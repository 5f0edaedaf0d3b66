"""Running a program within limits, with access only to the files that it needs.

It dies with its parent, and before it when memory runs out. On Linux it has no privileges, can open
only the given files (Landlock), and cannot reach other processes or sockets (seccomp). An input
that takes over a decoder can then only read itself and damage its own output.

`_sandboxed.py` applies this in a process that then becomes the program: in a process with threads
nothing may run between fork and exec.
"""

import os
import struct
import sys
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path

from whisper_service import _sandboxed
from whisper_service.system_calls import seccomp_filter

SCRIPT = Path(__file__).with_name("_sandboxed.py")
# For programs that are linked with system libraries.
LIBRARIES = tuple(
    map(Path, "/lib /lib64 /usr/lib /usr/lib64 /usr/local/lib /nix/store /etc/ld.so.cache".split())
)

# linux/landlock.h
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1, 2, 4, 8, 1 << 14
_CONTROL = 1 << 15
# The rights that each version of the ABI adds: to files, to the network, and outside the sandbox.
_RIGHTS = {
    1: ((1 << 13) - 1, 0, 0),
    2: (1 << 13, 0, 0),
    3: (_TRUNCATE, 0, 0),
    4: (0, 0b11, 0),
    5: (_CONTROL, 0, 0),
    6: (0, 0, 0b11),
}
_LANDLOCK_CREATE_RULESET_VERSION = 1
_SECCOMP_GET_ACTION_AVAIL, _SECCOMP_RET_ERRNO = 2, struct.pack("=I", 0x00050000)


@dataclass(frozen=True)
class Limits:
    """Limits of a program; None is no limit.

    `niceness` is added to the parent's. `cpu` is in seconds, `memory` (address space) and `file`
    (size of each written file) are in bytes.
    """

    niceness: int = 0
    cpu: int | None = None
    memory: int | None = None
    file: int | None = None


@dataclass(frozen=True)
class Access:
    """The files and folders that a program may read and run, and the files that it may write.

    Files to write have to exist. `devices` are those that it may control as well (ioctl).
    """

    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()
    devices: tuple[Path, ...] = ()


def command(limits: Limits, access: Access | None = None) -> list[str]:
    """Return the arguments to put before a program's path and its arguments.

    Without `access` only the limits apply.
    """
    numbers = [os.getpid(), *(-1 if limit is None else limit for limit in astuple(limits))]
    rights, rules, system_calls = _restrictions(access) if access else (b"", [], b"")
    restrictions = [rights.hex(), system_calls.hex(), *rules, "--"]
    return [sys.executable, "-I", "-S", str(SCRIPT), *map(str, numbers), *restrictions]


def restrict(access: Access) -> None:
    """Sandbox this process permanently. It must have one thread; later ones are included."""
    if sys.platform == "linux":
        _sandboxed.restrict(*_restrictions(access))


def missing() -> list[str]:
    """Return the names of the kernel features that the sandbox lacks here."""
    found = {"Landlock": _landlock_version(), "seccomp": _filter()}
    return [name for name, value in found.items() if not value]


def _restrictions(access: Access) -> tuple[bytes, list[str], bytes]:
    version = _landlock_version()
    known = [rights for number, rights in _RIGHTS.items() if number <= version]
    files, network, scope = (sum(bits) for bits in zip(*known, strict=True)) if known else (0, 0, 0)
    rights = struct.pack("=QQQ", files, network, scope) if known else b""
    read = _EXECUTE | _READ_FILE
    write = (_READ_FILE | _WRITE_FILE | _TRUNCATE) & files
    control = (write | _CONTROL) & files
    rules = [
        *_rules(access.reads, read),
        *_rules(access.writes, write),
        *_rules(access.devices, control),
    ]
    return rights, rules, _filter()


def _rules(paths: Iterable[Path], rights: int) -> list[str]:
    return [f"{rights | _READ_DIR if path.is_dir() else rights}:{path}" for path in paths]


@cache
def _landlock_version() -> int:
    """Return the version of Landlock's ABI, 0 without Landlock."""
    if sys.platform != "linux":
        return 0
    flag = _LANDLOCK_CREATE_RULESET_VERSION
    try:
        return _sandboxed.system_call(_sandboxed.LANDLOCK_CREATE_RULESET, 0, 0, flag)
    except OSError:  # not in the kernel, disabled, or blocked by a container
        return 0


@cache
def _filter() -> bytes:
    """Return the seccomp filter; empty if unsupported."""
    machine = os.uname().machine
    if sys.platform != "linux" or machine not in _sandboxed.SECCOMP:
        return b""
    number = _sandboxed.SECCOMP[machine]
    try:
        _sandboxed.system_call(number, _SECCOMP_GET_ACTION_AVAIL, 0, _SECCOMP_RET_ERRNO)
    except OSError:
        return b""
    return seccomp_filter(machine)
