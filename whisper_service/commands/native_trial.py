"""Whether a library gets the same words as the prebuilt engine in less time."""

import os
import re
import time
import wave
from pathlib import Path

from whisper_service.commands.demo import RECORDING
from whisper_service.errors import CommandError, ServiceError
from whisper_service.whisper.engine import Engine, EngineCrashed
from whisper_service.whisper.options import Options
from whisper_service.whisper.protocol import Transcribe, Transcribed

RECORDINGS = (RECORDING, RECORDING.with_name("austen-0930.wav"))
ROUNDS = 3
SECONDS = 300


class NoBetterError(CommandError):
    """The library works no better than the prebuilt engine; building it again would not help."""


def gain(model: Path, library: Path) -> float:
    """Return how many times as fast the library transcribes. Raises NoBetterError unless faster."""
    prebuilt = Engine()
    built = Engine(lambda: {"WHISPER_LIBRARY": str(library)})
    try:
        # In turns, and the best of each: other load on the machine slows down both.
        rounds = [(_measure(prebuilt, model), _measure(built, model)) for _ in range(ROUNDS)]
    except (EngineCrashed, ServiceError) as error:
        raise NoBetterError(f"The new engine fails: {error}") from error
    finally:
        prebuilt.close()
        built.close()
    if any(old[1] != new[1] for old, new in rounds):
        raise NoBetterError("The new engine gets other words")
    factor = min(old[0] for old, _ in rounds) / min(new[0] for _, new in rounds)
    if factor <= 1:
        raise NoBetterError(f"The new engine is {factor:.2f} times as fast")
    return factor


def _measure(engine: Engine, model: Path) -> tuple[float, list[str]]:
    """Transcribe the recordings; return the seconds that it took, and the words."""
    started = time.monotonic()
    words = [word for path in RECORDINGS for word in hear(engine, model, samples_of(path))]
    return time.monotonic() - started, words


def samples_of(recording: Path) -> bytes:
    """Return the samples of a recording (s16le, 16 kHz)."""
    with wave.open(str(recording)) as file:
        samples: bytes = file.readframes(file.getnframes())
        return samples


def hear(engine: Engine, model: Path, samples: bytes) -> list[str]:
    """Return the words in some samples."""
    request = Transcribe(samples, [], "en", None, os.cpu_count() or 1, 1, Options())
    answer = engine.ask(model, request, SECONDS, lambda: True)
    assert isinstance(answer, Transcribed)
    text = "".join(segment.text for segment in answer.segments)
    return re.findall(r"\w+", text.lower())
