"""An engine for tests that are not about Whisper."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from whisper_service.audio import FRAME_SAMPLES
from whisper_service.transcripts.transcript import Segment
from whisper_service.whisper.protocol import (
    CERTAIN,
    Answer,
    DetectLanguage,
    FindSpeech,
    LanguageDetected,
    Request,
    SpeechFound,
    Transcribed,
)
from whisper_service.whisper.vad import LEAD


def segment(start: float, end: float, text: str, language: str = "en") -> Segment:
    return Segment(start, end, text, [1, 2], -0.25, 1.0, 0.0, language=language)


class FakeEngine:
    """Returns the same words for everything, after calling `act`, or `act_on_search`."""

    is_late = False
    model: Path | None = None  # what is loaded, as far as a test says so

    def __init__(self, act: Callable[[], Any] = lambda: None) -> None:
        self.act = act
        self.calls: list[tuple[str, str]] = []
        self.searches = 0
        self.detected: list[int] = []  # the samples of each detection
        self.act_on_detection: Callable[[], Any] = lambda: None
        self.speech = CERTAIN  # the probability of speech in every frame
        self.act_on_search: Callable[[], Any] = lambda: None

    def ask(
        self,
        model: Path,
        request: Request,
        seconds: float,
        wanted: Callable[[], bool],
        *,
        is_prebuilt: bool = False,
    ) -> Answer:
        self.is_prebuilt = is_prebuilt
        length = len(request.samples) // 2
        if isinstance(request, FindSpeech):
            self.searches += 1
            self.act_on_search()
            return SpeechFound([self.speech] * ((length - LEAD) // FRAME_SAMPLES))
        if isinstance(request, DetectLanguage):
            self.detected.append(length)
            self.act_on_detection()
            return LanguageDetected("cy", 0.75)
        self.calls.append((model.name, request.language))
        self.act()
        heard = "en" if request.language == "auto" else request.language
        middle, end = length / 32_000, length / 16_000
        parts = [
            segment(0.0, middle, " Hello", heard),
            segment(middle, end, " world.", heard),
        ]
        return Transcribed(heard, parts)

    def close(self) -> None:
        """Do nothing: there is no process."""
