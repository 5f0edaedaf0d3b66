"""Correcting transcripts: what stays of what was known."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.engine import segment
from whisper_service.errors import InvalidRequest
from whisper_service.transcripts.correcting import MOST_ALIGNED, CorrectedSegment, corrected
from whisper_service.transcripts.transcript import Segment, Transcript, Word

SECONDS = 12.0


def heard(*segments: Segment) -> Transcript:
    text = " ".join(each.text for each in segments)
    return Transcript(text, "en", SECONDS, list(segments))


def spoken(start: float, text: str) -> Segment:
    """Make a segment whose words take a second each."""
    texts = text.split()
    words = [Word(each, start + at, start + at + 1) for at, each in enumerate(texts)]
    return replace(segment(start, start + len(texts), text), words=words)


ORIGINAL = heard(spoken(0, "ask not what your"), spoken(4, "country can do for you"))


def test_words_that_stay_keep_their_times() -> None:
    changed = CorrectedSegment(0, 4, "Ask not what all your")
    (first, second) = corrected(
        ORIGINAL, [changed, CorrectedSegment(4, 9, ORIGINAL.segments[1].text)]
    ).segments
    assert first.words == [
        Word("Ask", 0, 1),
        Word("not", 1, 2),
        Word("what", 2, 3),
        Word("all", 3, 3),
        Word("your", 3, 4),
    ]
    assert second == ORIGINAL.segments[1]


def test_what_is_split_has_the_words_of_each_part() -> None:
    parts = [CorrectedSegment(0, 2, "ask not"), CorrectedSegment(2, 4, "what your")]
    first, second = corrected(ORIGINAL, parts).segments
    assert [word.text for word in first.words] == ["ask", "not"]
    assert second.words == [Word("what", 2, 3), Word("your", 3, 4)]


def test_what_is_joined_has_the_words_of_both() -> None:
    text = " ".join(each.text for each in ORIGINAL.segments)
    (joined,) = corrected(ORIGINAL, [CorrectedSegment(0, 9, text)]).segments
    assert joined.words == [word for each in ORIGINAL.segments for word in each.words]


def test_without_words_there_are_none() -> None:
    (only,) = corrected(
        heard(segment(0, 4, "Hello")), [CorrectedSegment(0, 4, "Good day")]
    ).segments
    assert (only.text, only.words) == ("Good day", [])


def test_a_language_without_spaces_gets_none() -> None:
    original = replace(heard(segment(0, 1, "東京"), segment(1, 2, "大学")), language="ja")
    parts = [CorrectedSegment(0, 1, "京都"), CorrectedSegment(1, 2, "大学")]
    assert corrected(original, parts).text == "京都大学"


def test_a_new_segment_has_the_language_that_is_spoken_there() -> None:
    original = heard(segment(0, 4, "Hello", "en"), segment(4, 8, "Welt", "de"))
    parts = [CorrectedSegment(0, 3, "a"), CorrectedSegment(5, 6, "b"), CorrectedSegment(9, 10, "c")]
    found = [each.language for each in corrected(original, parts).segments]
    assert found == ["en", "de", "en"]


def test_the_longest_are_not_aligned() -> None:
    words = "a " * (MOST_ALIGNED + 1)
    (only,) = corrected(ORIGINAL, [CorrectedSegment(0, 9, words)]).segments
    assert len(only.words) == MOST_ALIGNED + 1


TIMES = st.lists(st.integers(0, 1200), max_size=12, unique=True).map(sorted)
TEXTS = st.lists(
    st.sampled_from(["ask", "not", "what", "é", "country", "<b>"]), min_size=1, max_size=9
)


@given(TIMES, st.data())
def test_segments_and_words_are_in_order_within_the_recording(
    times: list[int], data: st.DataObject
) -> None:
    pairs = list(zip(times[::2], times[1::2], strict=False))
    wanted = [
        CorrectedSegment(start / 100, end / 100, "  ".join(data.draw(TEXTS)))
        for start, end in pairs
    ]
    result = corrected(ORIGINAL, wanted)
    assert [(each.start, each.end) for each in result.segments] == [
        (each.start, each.end) for each in wanted
    ]
    for each in result.segments:
        assert [word.text for word in each.words] == each.text.split()
        moments = [moment for word in each.words for moment in (word.start, word.end)]
        assert moments == sorted(moments)
        assert all(each.start <= moment <= each.end for moment in moments)
    assert Transcript.from_json(result.to_json()) == result


@pytest.mark.parametrize(
    ("segments", "error"),
    [
        ([CorrectedSegment(1, 1, "a")], "must end after"),
        ([CorrectedSegment(0, float("inf"), "a")], "ends after the recording"),
        ([CorrectedSegment(0, 2, "a"), CorrectedSegment(1, 3, "b")], "starts before"),
        ([CorrectedSegment(0, 2, "\n")], "has no text"),
    ],
)
def test_what_no_transcript_can_have(segments: list[CorrectedSegment], error: str) -> None:
    with pytest.raises(InvalidRequest, match=error):
        corrected(ORIGINAL, segments)


class Counted(list[Segment]):
    """Segments that count how often one of them is read."""

    reads = 0

    def __iter__(self) -> Iterator[Segment]:
        for each in super().__iter__():
            self.reads += 1
            yield each

    def __getitem__(self, key: Any) -> Any:
        self.reads += 1
        return super().__getitem__(key)


def test_the_work_does_not_grow_with_the_square_of_the_segments() -> None:
    def reads(number: int) -> int:
        segments = Counted(segment(at, at + 1, "a") for at in range(number))
        original = replace(heard(*segments), segments=segments, duration=float(number))
        corrected(original, [CorrectedSegment(at, at + 0.5, "b") for at in range(number)])
        return segments.reads

    assert reads(400) < 3 * reads(200)
