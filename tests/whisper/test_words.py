"""Segments are split where a pause was left out of them, between words."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.whisper.words import TimedText, split


def segment(*words: tuple[str, float, float], start: float = 0, end: float = 10) -> TimedText:
    made = [
        TimedText(f" {text}".encode(), first, last, [number])
        for number, (text, first, last) in enumerate(words)
    ]
    text = b"".join(word.text for word in made)
    tokens = [token for word in made for token in word.tokens]
    return TimedText(text, start, end, tokens, made)


HELLO = segment(("hello", 0, 1), ("there", 1.1, 2), ("old", 2.6, 3), ("friend", 3.1, 4), end=4)


@pytest.mark.parametrize("breaks", [[], [-1], [0], [4], [7.5]])
def test_a_segment_without_a_pause_stays_as_it_is(breaks: list[float]) -> None:
    assert split(HELLO, breaks) == [HELLO]


def test_it_is_split_at_the_gap_between_words_that_is_nearest() -> None:
    for moment in (2, 2.3, 2.6):
        one, two = split(HELLO, [moment])
        assert (one.text, one.start, one.end, one.tokens) == (b" hello there", 0, moment, [0, 1])
        assert (two.text, two.start, two.end, two.tokens) == (b" old friend", moment, 4, [2, 3])
        assert [word.text for word in two.words] == [b" old", b" friend"]


def test_a_pause_at_its_edge_only_moves_that() -> None:
    assert [(part.text, part.start) for part in split(HELLO, [0.1])] == [(HELLO.text, 0.1)]
    assert [(part.text, part.end) for part in split(HELLO, [3.9])] == [(HELLO.text, 3.9)]


def test_several_pauses_make_several_parts() -> None:
    parts = split(HELLO, [1.05, 3.05])
    assert [part.text for part in parts] == [b" hello", b" there old", b" friend"]


@given(
    st.lists(st.floats(0, 10), max_size=20).map(sorted),
    st.lists(st.floats(-2, 12), max_size=6, unique=True).map(sorted),
)
def test_no_word_is_lost_and_no_part_spans_a_pause(times: list[float], breaks: list[float]) -> None:
    whole = segment(*((str(number), one, two) for number, (one, two) in enumerate(pairwise(times))))
    parts = split(whole, breaks)
    assert b"".join(part.text for part in parts) == whole.text
    assert [token for part in parts for token in part.tokens] == whole.tokens
    assert all(not part.start < moment < part.end for part in parts for moment in breaks)
    assert all(one.end <= other.start for one, other in pairwise(parts))
