"""An engine for tests that are not about Whisper."""

from collections.abc import Callable
from pathlib import Path

from whisper_service.transcript import Segment, Transcript


def segment(start: float, end: float, text: str) -> Segment:
    return Segment(start, end, text, [1, 2], -0.25, 1.0, 0.0)


class FakeEngine:
    """Hears the same words in everything, or does what `act` does."""

    def __init__(self, act: Callable[[], None] = lambda: None) -> None:
        self.act = act
        self.calls: list[tuple[str, str]] = []

    def transcribe(
        self, model: Path, wav: Path, language: str, duration: float, wanted: Callable[[], bool]
    ) -> Transcript:
        assert wav.is_file()
        self.calls.append((model.name, language))
        self.act()
        heard = "en" if language == "auto" else language
        parts = [segment(0.0, duration / 2, "Hello"), segment(duration / 2, duration, "world.")]
        return Transcript("Hello world.", heard, duration, parts)
