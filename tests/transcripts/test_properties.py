"""What holds of cues and tidied segments, whatever the engine and the user come up with."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.support.engine import segment
from whisper_service.transcripts.cues import Layout, cues
from whisper_service.transcripts.transcript import Segment, Transcript, Word, tidy

DURATION = 60.0
TIMES = st.floats(0, DURATION + 5, allow_nan=False)
TEXTS = st.text("ab é語,.-\n", min_size=0, max_size=60)
LAYOUTS = st.builds(Layout, st.integers(1, 50), st.none() | st.integers(1, 4))


@st.composite
def raw_segments(draw: st.DrawFn) -> Segment:
    """Make what an engine may answer: in any order, words apart from each other or not."""
    start, end, text = draw(TIMES), draw(TIMES), draw(TEXTS)
    words = [Word(word, draw(TIMES), draw(TIMES)) for word in text.split()]
    return replace(segment(start, end, text), words=words if draw(st.booleans()) else [])


SEGMENTS = st.lists(raw_segments(), max_size=8)


@given(SEGMENTS)
def test_tidied_segments_are_in_order_within_the_recording_and_keep_every_word(
    raw: list[Segment],
) -> None:
    tidied = tidy(raw, DURATION)
    times = [time for each in tidied for time in (each.start, each.end)]
    assert times == sorted(times)
    assert all(0 <= time <= DURATION for time in times)
    assert all(each.start < each.end and each.text == each.text.strip() for each in tidied)
    said = " ".join(each.text for each in raw).split()
    assert " ".join(each.text for each in tidied).split() == (said if tidied else [])


@given(SEGMENTS)
def test_tidied_words_are_in_order_within_their_segment(raw: list[Segment]) -> None:
    for each in tidy(raw, DURATION):
        times = [time for word in each.words for time in (word.start, word.end)]
        assert times == sorted(times)
        assert all(each.start <= time <= each.end for time in times)


@given(SEGMENTS, LAYOUTS)
def test_cues_keep_the_width_the_times_and_every_letter(raw: list[Segment], layout: Layout) -> None:
    transcript = Transcript("", "en", DURATION, tidy(raw, DURATION))
    made = cues(transcript, layout)
    assert layout.width
    assert all(len(line) <= layout.width for cue in made for line in cue.lines)
    assert all(len(cue.lines) <= (layout.lines or len(cue.lines)) for cue in made)
    times = [time for cue in made for time in (cue.start, cue.end)]
    assert times == sorted(times)
    letters = "".join(each.text for each in transcript.segments).replace(" ", "")
    assert "".join(line for cue in made for line in cue.lines).replace(" ", "") == letters
