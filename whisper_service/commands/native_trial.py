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

RECORDINGS = (RECORDING, RECORDING.with_name("austen.wav"))
ROUNDS = 4
SECONDS = 300


class NoBetterError(CommandError):
    """The library works no better than the prebuilt engine; building it again would not help."""


def gain(model: Path, library: Path) -> float:
    """Return how many times as fast the library transcribes. Raises NoBetterError unless faster."""
    prebuilt, expected = _measure(model, {})
    try:
        built, words = _measure(model, {"WHISPER_LIBRARY": str(library)})
    except (EngineCrashed, ServiceError) as error:
        raise NoBetterError(f"The new engine fails: {error}") from error
    if words != expected:
        raise NoBetterError("The new engine gets other words")
    if built >= prebuilt:
        raise NoBetterError(f"The new engine is {prebuilt / built:.2f} times as fast")
    return prebuilt / built


def _measure(model: Path, environment: dict[str, str]) -> tuple[float, list[str]]:
    """Transcribe the recordings; return the least seconds that it took, and the words."""
    engine = Engine(lambda: environment)
    seconds = []
    try:
        for _ in range(ROUNDS):
            started = time.monotonic()
            words = [word for recording in RECORDINGS for word in _hear(engine, model, recording)]
            seconds.append(time.monotonic() - started)
    finally:
        engine.close()
    return min(seconds), words


def _hear(engine: Engine, model: Path, recording: Path) -> list[str]:
    with wave.open(str(recording)) as file:
        samples = file.readframes(file.getnframes())
    request = Transcribe(samples, [], "en", None, os.cpu_count() or 1, 1, Options())
    answer = engine.ask(model, request, SECONDS, lambda: True)
    assert isinstance(answer, Transcribed)
    text = "".join(segment.text for segment in answer.segments)
    return re.findall(r"\w+", text.lower())
