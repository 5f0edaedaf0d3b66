"""The system calls that are denied in the sandbox, as a filter for seccomp(2).

Landlock controls what is opened by path; this covers the rest: other processes, sockets, file
attributes, memory shared by an identifier, and risky kernel features. Threads, private memory and
open files are allowed.
"""

import errno
import struct
from collections.abc import Iterable

# Numbers on x86_64 (asm/unistd_64.h) and aarch64 (asm-generic/unistd.h); 0: does not exist there.
_REFUSED = {
    "fork": (57, 0),
    "vfork": (58, 0),
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "chmod": (90, 0),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, 0),
    "fchown": (93, 55),
    "lchown": (94, 0),
    "fchownat": (260, 54),
    "utime": (132, 0),
    "utimes": (235, 0),
    "futimesat": (261, 0),
    "utimensat": (280, 88),
    "truncate": (76, 45),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "open_by_handle_at": (304, 265),
    "inotify_init": (253, 0),
    "inotify_init1": (294, 26),
    "fanotify_init": (300, 262),
    "memfd_create": (319, 279),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "io_uring_setup": (425, 425),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "personality": (135, 92),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "mount_setattr": (442, 442),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
}
# linux/audit.h; clone and prlimit64 depend on their first argument.
_MACHINES = {
    "x86_64": (0, 0xC000003E, {"clone": 56, "prlimit64": 302}),
    "aarch64": (1, 0xC00000B7, {"clone": 220, "prlimit64": 261}),
}
_CLONE3 = 435
_CLONE_THREAD = 0x10000  # linux/sched.h
_X32 = 0x40000000  # the bit that marks x86_64's x32 system calls
# linux/filter.h and linux/seccomp.h; offsets are those of struct seccomp_data.
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENT = 0, 4, 16
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000


def seccomp_filter(machine: str) -> bytes:
    """Return the filter for a machine as os.uname() names it; empty for an unknown one."""
    if machine not in _MACHINES:
        return b""
    column, architecture, conditional = _MACHINES[machine]
    refused = [numbers[column] for numbers in _REFUSED.values() if numbers[column]]
    return b"".join(
        (
            _step(_LOAD, _ARCHITECTURE),
            _step(_IF_EQUAL, architecture, 1, 0),
            _refuse(),
            _step(_LOAD, _NUMBER),
            _refuse_if(_IF_AT_LEAST, _X32),
            # A filter cannot read its flags; without clone3 libc falls back to clone.
            _refuse_if(_IF_EQUAL, _CLONE3, errno.ENOSYS),
            _unless_first_argument(conditional["clone"], _IF_ANY, _CLONE_THREAD),
            _unless_first_argument(conditional["prlimit64"], _IF_EQUAL, 0),  # itself
            *(_refuse_if(_IF_EQUAL, number) for number in refused),
            _step(_RETURN, _ALLOW),
        )
    )


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """Return an instruction (struct sock_filter). Jumps count the instructions to skip."""
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _refuse(error: int = errno.EPERM) -> bytes:
    return _step(_RETURN, _ERROR | error)


def _refuse_if(test: int, value: int, error: int = errno.EPERM) -> bytes:
    return _step(test, value, 0, 1) + _refuse(error)


def _unless_first_argument(number: int, test: int, value: int) -> bytes:
    """Refuse a system call unless its first argument passes the test."""
    steps: Iterable[bytes] = (
        _step(_LOAD, _ARGUMENT),
        _step(test, value, 0, 1),
        _step(_RETURN, _ALLOW),
        _refuse(),
    )
    return _step(_IF_EQUAL, number, 0, 4) + b"".join(steps)
