"""A kernel without Landlock and seccomp, for this process and its children."""

import ctypes
import errno
import os
import struct

from whisper_service import _sandboxed


def pretend() -> None:
    """Have the system calls of both fail with ENOSYS."""
    unknown = (_sandboxed.LANDLOCK_CREATE_RULESET, _sandboxed.SECCOMP[os.uname().machine])
    steps = [(0x20, 0, 0, 0)]
    for number in unknown:
        steps += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | errno.ENOSYS)]
    steps += [(0x06, 0, 0, 0x7FFF0000)]
    content = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = struct.pack("HP", len(steps), ctypes.addressof(content))
    libc = ctypes.CDLL(None)
    libc.prctl(38, *map(ctypes.c_ulong, (1, 0, 0, 0)))
    assert libc.prctl(22, ctypes.c_ulong(2), program) == 0
