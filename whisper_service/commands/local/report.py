"""What `transcribe` prints: a line for each recording and, on a terminal, a bar over all audio."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tqdm import tqdm

from whisper_service.transcripts.transcript import Transcript

BAR = "{percentage:3.0f} % {bar:30} {desc}"


class Report:
    """Prints to the terminal. On exit the bar is removed."""

    def __init__(self) -> None:
        self.has_failed = False
        self._bar: tqdm[Any] | None = None
        self._begun = time.monotonic()
        self._shown = (0.0, 0.0)
        self._end: float | None = None  # when all is done, as far as is known

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar:
            self._bar.close()

    def show(self, done: float, total: float) -> None:
        """Show that `done` seconds of audio of `total` are transcribed, if this is a terminal."""
        if self._bar is None:  # disable=None: unless it is a terminal
            self._bar = tqdm(total=1, bar_format=BAR, leave=False, disable=None)
        self._bar.n = done / total if total else 0
        self._bar.set_description_str(
            f"{_clock(done)} of {_clock(total)}{self._estimate(done, total)}"
        )

    def _estimate(self, done: float, total: float) -> str:
        """Return the time left. It is estimated after each progress, and passes in between."""
        now = time.monotonic()
        if done and (done, total) != self._shown:
            self._shown = done, total
            self._end = now + (now - self._begun) * (total / done - 1)
        return "" if self._end is None else f", about {_duration(self._end - now)} left"

    def written(self, results: Sequence[Path], transcript: Transcript, took: float) -> None:
        names = ", ".join(map(_shown, results))
        silent = "" if transcript.segments else ", without speech"
        _say(f"{names}  {_clock(transcript.duration)} of audio in {_duration(took)}{silent}")

    def failed(self, recording: Path, reason: str) -> None:
        self.has_failed = True
        _say(f"error: {_shown(recording)}: {_printable(reason)}", is_error=True)


def _say(line: str, *, is_error: bool = False) -> None:
    with tqdm.external_write_mode():
        print(line, file=sys.stderr if is_error else sys.stdout, flush=True)


def _shown(path: Path) -> str:
    return _printable(str(path))


def _printable(text: str) -> str:
    """Escape what a terminal would obey or cannot show: names may hold any character."""
    escaped = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    encoding = sys.stdout.encoding
    return escaped.encode(encoding, "backslashreplace").decode(encoding)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(max(1, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
