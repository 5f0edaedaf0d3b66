from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.audio import FRAME_SAMPLES
from whisper_service.whisper.chunking import LONGEST_PAUSE, MARGIN, Chunk, plan

SECOND = 31  # frames


def recording(*parts: tuple[float, float]) -> tuple[list[float], int]:
    """Make (probability, seconds) parts into frames, and count their samples."""
    frames = [probability for probability, seconds in parts for _ in range(int(seconds * SECOND))]
    return frames, len(frames) * FRAME_SAMPLES


def seconds(chunks: list[Chunk]) -> list[list[tuple[int, int]]]:
    return [
        [(round(start / 16_000), round(stop / 16_000)) for start, stop in chunk.spans]
        for chunk in chunks
    ]


def test_silence_is_left_out() -> None:
    assert plan(*recording((0.0, 100)), 14) == []
    (chunk,) = plan(*recording((0, 10), (1, 5), (0, 20), (1, 3), (0, 10)), 14)
    assert seconds([chunk]) == [[(10, 15), (35, 38)]]
    assert (chunk.start, chunk.stop) == (chunk.spans[0][0], chunk.spans[1][1])
    assert 8 * 16_000 < chunk.samples < 9 * 16_000


def test_a_short_pause_is_kept_and_a_long_one_is_not() -> None:
    assert seconds(plan(*recording((1, 4), (0, 1.4), (1, 4)), 14)) == [[(0, 9)]]
    assert seconds(plan(*recording((1, 4), (0, 2), (1, 4)), 14)) == [[(0, 4), (6, 10)]]


def test_chunks_are_cut_at_the_longest_pauses() -> None:
    sentences = recording((1, 6), (0, 0.3), (1, 3), (0, 1), (1, 4), (0, 0.3), (1, 6))
    assert seconds(plan(*sentences, 14)) == [[(0, 9)], [(10, 20)]]


def test_chunks_are_as_few_as_possible() -> None:
    phrases = recording(*[(1.0, 3.0), (0.0, 1.0)] * 12)
    assert len(plan(*phrases, 16)) == 3


def test_speech_without_end_is_cut_where_it_is_least_like_speech() -> None:
    chunks = plan(*recording((1, 9), (0.6, 0.3), (1, 9), (0.6, 0.3), (1, 9)), 14)
    assert seconds(chunks) == [[(0, 9)], [(9, 18)], [(18, 27)]]


def test_a_click_is_no_speech() -> None:
    assert plan(*recording((0, 3), (1, 0.07), (0, 3)), 14) == []


def test_a_margin_is_heard_around_speech_but_no_neighbour() -> None:
    (chunk,) = plan(*recording((0, 2), (1, 2), (0, 2)), 14)
    assert 2 * 16_000 - chunk.start in range(2_000, 5_000)
    assert chunk.stop - 4 * 16_000 in range(-1_000, 4_000)


JOINED = Chunk(16_000, 160_000, ((16_000, 48_000), (80_000, 96_000), (144_000, 160_000)))


@pytest.mark.parametrize(
    ("time", "recorded"), [(0, 1), (1.9, 2.9), (2.1, 5.1), (2.9, 5.9), (3, 9), (3.9, 9.9), (5, 11)]
)
def test_times_are_those_of_the_recording(time: float, recorded: float) -> None:
    place = JOINED.place(time)
    assert time + place.offset == pytest.approx(recorded)
    assert JOINED.breaks == [2, 3]
    assert JOINED.samples == 4 * 16_000


def test_a_chunk_without_pauses_is_one_part() -> None:
    chunk = Chunk(16_000, 48_000)
    assert chunk.breaks == []
    assert chunk.place(1).offset == 1
    assert chunk == Chunk(16_000, 48_000, ((16_000, 20_000), (40_000, 48_000)))


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 40)), max_size=12), st.integers(5, 29))
def test_every_plan_is_sound(parts: list[tuple[float, float]], longest: int) -> None:
    frames, samples = recording(*parts)
    chunks = plan(frames, samples, longest)
    spans = [span for chunk in chunks for span in chunk.spans]
    assert all(0 <= start < stop <= samples for start, stop in spans)
    assert all(chunk.samples <= longest * 16_000 for chunk in chunks)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))
    heard = {
        frame
        for start, stop in spans
        for frame in range(start // FRAME_SAMPLES, stop // FRAME_SAMPLES)
    }
    run = 0
    for frame, probability in enumerate(frames):
        run = run + 1 if probability >= 0.5 else 0
        assert run < 5 or frame in heard or frame - 1 in heard
    pause = 0
    for frame in range(len(frames)):
        pause = pause + 1 if frames[frame] < 0.35 and frame in heard else 0
        assert pause <= LONGEST_PAUSE + 2 * MARGIN + 3
