"""How the engine's process listens, piece by piece of a chunk."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from whisper_service import whisper_cpp
from whisper_service.vad import Array
from whisper_service.whisper_cpp import SAMPLE_RATE, Decode

DECODE = Decode("en", 1, 1)
ENGLISH = {"text": " Hello."}
Heard = list[tuple[float, float]]


@pytest.fixture
def listen(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Heard, list[float]]]:
    """Transcribe so many seconds, of which Whisper hears what is given; tell what it was given."""

    def run(seconds: float, *windows: Heard) -> tuple[Heard, list[float]]:
        left, given = list(windows), []

        def window(_context: object, audio: Array, _decode: Decode) -> list[dict[str, Any]]:
            given.append(audio.size / SAMPLE_RATE)
            return [{"start": start, "end": end, **ENGLISH} for start, end in left.pop(0)]

        monkeypatch.setattr(whisper_cpp, "_listen", window)
        audio = np.zeros(int(seconds * SAMPLE_RATE), np.float32)
        answer = whisper_cpp.transcribe(None, audio, DECODE)
        assert not left
        assert answer["language"] == "en"
        return [(each["start"], each["end"]) for each in answer["segments"]], given

    return run


def test_a_chunk_that_is_heard_to_its_end_is_heard_once(listen) -> None:
    assert listen(12, [(0, 5), (5, 11.2)]) == ([(0, 5), (5, 11.2)], [12])


def test_where_whisper_stops_early_it_listens_again(listen) -> None:
    heard, given = listen(12, [(0, 3)], [(0.5, 5)], [(0, 4)])
    assert heard == [(0, 3), (3.5, 8), (8, 12)]
    assert given == [12, 9, 4]


@pytest.mark.parametrize("nothing", [[], [(0, 0.2)]])
def test_what_it_cannot_hear_does_not_hold_it_for_ever(listen, nothing: Heard) -> None:
    heard, given = listen(12, [(0, 3)], nothing)
    assert given == [12, 9]
    assert heard[0] == (0, 3)
