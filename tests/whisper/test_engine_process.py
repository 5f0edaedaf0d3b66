"""How the engine's process listens to a chunk, to its end and no further."""

import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import DATA
from tests.support.speech import WORDS
from whisper_service.audio import SAMPLE_RATE
from whisper_service.errors import ServiceError
from whisper_service.jobs.run import TRANSCRIBE, Task
from whisper_service.models import ggml
from whisper_service.transcripts.transcript import Segment
from whisper_service.whisper.chunking import Chunk
from whisper_service.whisper.decoding import decode_to_end
from whisper_service.whisper.engine import Engine
from whisper_service.whisper.engine_process import load

Heard = list[tuple[float, float]]


def follow(seconds: float, *windows: Heard) -> tuple[Heard, list[float]]:
    """Listen to so many seconds, of which Whisper hears what is given; tell from where it did."""
    left, starts = list(windows), []

    def listen(start: float) -> list[dict[str, Any]]:
        starts.append(start)
        return [{"start": first, "end": last} for first, last in left.pop(0)]

    segments = decode_to_end(seconds, listen)
    assert not left
    return [(each["start"], each["end"]) for each in segments], starts


def test_a_chunk_that_is_heard_to_its_end_is_heard_once() -> None:
    assert follow(12, [(0, 5), (5, 11.2)]) == ([(0, 5), (5, 11.2)], [0])


def test_where_whisper_stops_early_it_listens_again() -> None:
    heard, starts = follow(12, [(0, 3)], [(0.5, 5)], [(0, 4)])
    assert heard == [(0, 3), (3.5, 8), (8, 12)]
    assert starts == [0, 3, 8]


@pytest.mark.parametrize("nothing", [[], [(0, 0.2)]])
def test_what_it_cannot_hear_does_not_hold_it_for_ever(nothing: Heard) -> None:
    heard, starts = follow(12, [(0, 3)], nothing)
    assert starts == [0, 3]
    assert heard[0] == (0, 3)


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """All clips, and the first again, with 0.3 s between them."""
    path = tmp_path / "speech.wav"
    with wave.open(str(path), "wb") as speech:
        speech.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        for name in [*sorted(WORDS), min(WORDS)]:
            with wave.open(str(DATA / name)) as clip:
                speech.writeframes(clip.readframes(clip.getnframes()) + bytes(2 * 4800))
    return path


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()


def hear(engine: Engine, model: Path, wav: Path, start: float, seconds: float) -> list[Segment]:
    chunk = Chunk(int(start * SAMPLE_RATE), int((start + seconds) * SAMPLE_RATE))
    request = Task(TRANSCRIBE, chunk).request(wav, "en", 2)
    return engine.ask(model, request, 60, lambda: True).segments


def test_a_model_that_whisper_cpp_refuses_is_an_error(
    tmp_path: Path, tiny_en_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have vanished since it was checked."""
    assert load(tiny_en_model)
    monkeypatch.setattr(ggml, "check", lambda _: None)
    with pytest.raises(ServiceError, match="The model could not be loaded"):
        load(tmp_path / "vanished.bin")


def test_nothing_is_heard_after_the_end(engine: Engine, tiny_en_model: Path, speech: Path) -> None:
    """whisper.cpp's second window here is one of 0.2 s, in which it hears 30."""
    segments = hear(engine, tiny_en_model, speech, 2.65, 11)
    assert segments[-1].end <= 11
    assert segments[-1].text.endswith("rather")


def test_the_end_of_a_chunk_is_heard(engine: Engine, tiny_en_model: Path, speech: Path) -> None:
    """Whisper ends its first window 4 s before the end here, with a timestamp that stands alone."""
    (*_, last) = hear(engine, tiny_en_model, speech, 29.1, 12)
    assert last.start >= 7
    assert "dashwood" in last.text.lower()
