"""Programs that media.py runs, watched."""

import os
import subprocess
import threading
import time
from collections import defaultdict
from typing import Any

import pytest

from whisper_service.files import ffmpeg


class Watched(subprocess.Popen[Any]):
    """A process whose end and peak of memory are kept, by the thread that started it."""

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
    """Watch what runs from now on, and forget what ran before."""
    Watched.ended = defaultdict(list)
    monkeypatch.setattr(ffmpeg.subprocess, "Popen", Watched)
