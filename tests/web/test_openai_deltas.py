"""The deltas of a stream, whatever white space Whisper puts around the words."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tests.support.engine import segment
from whisper_service.transcripts.transcript import Transcript
from whisper_service.web.openai.streaming import _Deltas

TEXTS = st.lists(
    st.lists(st.sampled_from(["", " ", " Hello", "world. ", "\n", " \u3000"]), max_size=3)
)


@given(TEXTS, st.integers(0, 20))
def test_joined_they_are_the_text(chunks: list[list[str]], sent: int) -> None:
    """Some chunks are sent while the transcription runs, the others with its end."""
    spoken = [[segment(0, 1, text) for text in chunk] for chunk in chunks]
    parts = [part for chunk in spoken for part in chunk]
    whole = Transcript("".join(part.text for part in parts).strip(), "en", 1.0, parts)
    deltas = _Deltas(with_logprobs=False)
    events = [event for chunk in spoken[:sent] for event in deltas.add([chunk])]
    events += deltas.finish(whole)
    *made, done = (json.loads(event.removeprefix(b"data: ")) for event in events)
    assert "".join(each["delta"] for each in made) == done["text"] == whole.text
    assert all(each["delta"] for each in made)
