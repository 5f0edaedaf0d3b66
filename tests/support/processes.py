"""Processes: those that run ffmpeg, and those of a live service."""

import os
import subprocess
import threading
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from whisper_service.files import ffmpeg


class Watched(subprocess.Popen[Any]):
    """A process that records its duration and its peak memory."""

    ended: defaultdict[int, list["Watched"]]
    peak_kb = 0

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.begun = time.monotonic()
        self.seconds = 0.0
        Watched.ended[threading.get_ident()].append(self)

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        pid, status, usage = os.wait4(self.pid, wait_flags)
        if pid:
            self.peak_kb = usage.ru_maxrss
            self.seconds = time.monotonic() - self.begun
        return pid, status


def watched_ones() -> list[Watched]:
    return [process for ended in Watched.ended.values() for process in ended]


def watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Record the runs of ffmpeg from now on, and forget earlier ones."""
    Watched.ended = defaultdict(list)
    monkeypatch.setattr(ffmpeg.subprocess, "Popen", Watched)


def children(parent: int, word: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            ours = int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == parent
            if ours and word in (entry / "cmdline").read_text():
                found.append(int(entry.name))
        except (OSError, ValueError, IndexError):
            continue
    return found


def open_files(pid: int) -> list[str]:
    """List the files that a process has open."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed just now
            found.append(str(link.readlink()))
    return found


def is_running(pid: int) -> bool:
    """Return whether a process uses the processor: its CPU time grows in a tenth of a second."""
    try:
        before = ticks(pid)
        time.sleep(0.1)
        return ticks(pid) > before
    except OSError:
        return False


def ticks(pid: int) -> int:
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))


def processes_of(storage: Path) -> list[int]:
    """Find the processes that use a storage folder: by arguments, environment or an open file."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            named = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            opened = [str(link.readlink()) for link in (entry / "fd").iterdir()]
        except OSError:  # it has ended
            continue
        ours = os.fsencode(storage) in named or any(str(storage) in path for path in opened)
        if ours and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found
