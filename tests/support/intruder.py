"""Attempts to leave the sandbox, as code would that has taken over a decoder or the engine.

Run as `python intruder.py FILE...`, it writes to standard error how each attempt ended, as JSON.
"""

import ctypes
import errno
import json
import mmap
import os
import resource
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

IPC_CREAT = 0o1000
PTRACE_PEEKDATA = 2


def attempts(files: list[str]) -> dict[str, Callable[[], object]]:
    """Return all attempts, on others' files and on the rest of the machine."""
    parent = os.getppid()
    found: dict[str, Callable[[], object]] = {
        "read /etc/passwd": lambda: Path("/etc/passwd").read_bytes(),
        "read the parent's environment": lambda: Path(f"/proc/{parent}/environ").read_bytes(),
        "list /": lambda: list(Path("/").iterdir()),
        "write to /": lambda: Path("/", "intruder").touch(),
        "tcp": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "udp": lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
        "unix": lambda: socket.socket(socket.AF_UNIX),
        "socket pair": socket.socketpair,
        "fork": fork,
        "spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
        "signal the parent": lambda: os.kill(parent, 0),
        "limit the parent": lambda: resource.prlimit(parent, resource.RLIMIT_NOFILE),
        "share memory": lambda: call("shmget", 0, mmap.PAGESIZE, IPC_CREAT | 0o600),
        "trace the parent": lambda: call("ptrace", PTRACE_PEEKDATA, parent, 0, 0),
        "a namespace": lambda: call("unshare", 0x10000000),
        "run a shell": lambda: os.execv("/bin/sh", ["sh"]),  # noqa: S606
    }
    for file in map(Path, files):
        found |= {
            f"read {file.name}": file.read_bytes,
            f"write {file.name}": lambda file=file: file.open("r+b"),
            f"truncate {file.name}": lambda file=file: os.truncate(file, 0),
            f"remove {file.name}": file.unlink,
            f"rename {file.name}": lambda file=file: file.rename(file.with_name("renamed")),
            f"link {file.name}": lambda file=file: os.link(file, file.with_name("linked")),
            f"open up {file.name}": lambda file=file: file.chmod(0o777),
            f"age {file.name}": lambda file=file: os.utime(file, (0, 0)),
            f"write beside {file.name}": file.with_name("beside").touch,
        }
    return found


def fork() -> None:
    if os.fork() == 0:
        os._exit(0)


def call(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def try_all(files: list[str]) -> dict[str, str]:
    """Return how each attempt ended: with the name of an error, or "done"."""
    return {name: outcome(attempt) for name, attempt in attempts(files).items()}


def outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def try_all_in_a_thread(files: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    thread = threading.Thread(target=lambda: found.update(try_all(files)))
    thread.start()
    thread.join()
    return found


if __name__ == "__main__":
    sys.stdin.buffer.read(1)
    json.dump(try_all_in_a_thread(sys.argv[1:]), sys.stderr)
