from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from whisper_service.audio import FRAME_SAMPLES
from whisper_service.whisper.chunking import LONGEST_PAUSE, Chunk, plan

SECOND = 31  # frames


def recording(*parts: tuple[float, float]) -> tuple[list[float], int]:
    """Make (probability, seconds) parts into frames, and count their samples."""
    frames = [probability for probability, seconds in parts for _ in range(int(seconds * SECOND))]
    return frames, len(frames) * FRAME_SAMPLES


def seconds(chunks: list[Chunk]) -> list[tuple[int, int]]:
    return [(round(chunk.start / 16_000), round(chunk.stop / 16_000)) for chunk in chunks]


def test_silence_is_left_out() -> None:
    assert plan(*recording((0.0, 100)), 14) == []
    assert seconds(plan(*recording((0, 10), (1, 5), (0, 20), (1, 3), (0, 10)), 14)) == [
        (10, 15),
        (35, 38),
    ]


def test_a_short_pause_stays_inside_a_long_one_does_not() -> None:
    assert seconds(plan(*recording((1, 4), (0, 1.4), (1, 4)), 14)) == [(0, 9)]
    assert seconds(plan(*recording((1, 4), (0, 2), (1, 4)), 14)) == [(0, 4), (6, 10)]


def test_speech_without_end_is_cut_where_it_is_least_like_speech() -> None:
    chunks = plan(*recording((1, 9), (0.6, 0.3), (1, 9), (0.6, 0.3), (1, 9)), 14)
    assert seconds(chunks) == [(0, 9), (9, 18), (18, 27)]


def test_a_click_is_no_speech() -> None:
    assert plan(*recording((0, 3), (1, 0.07), (0, 3)), 14) == []


def test_a_margin_is_heard_around_speech_but_no_neighbour() -> None:
    (chunk,) = plan(*recording((0, 2), (1, 2), (0, 2)), 14)
    assert 2 * 16_000 - chunk.start in range(2_000, 5_000)
    assert chunk.stop - 4 * 16_000 in range(-1_000, 4_000)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 40)), max_size=12), st.integers(5, 29))
def test_every_plan_is_sound(parts: list[tuple[float, float]], longest: int) -> None:
    frames, samples = recording(*parts)
    chunks = plan(frames, samples, longest)
    assert all(0 <= chunk.start < chunk.stop <= samples for chunk in chunks)
    assert all(chunk.stop - chunk.start <= longest * 16_000 for chunk in chunks)
    assert all(one.stop <= other.start for one, other in pairwise(chunks))
    heard = {
        frame
        for chunk in chunks
        for frame in range(chunk.start // FRAME_SAMPLES, chunk.stop // FRAME_SAMPLES)
    }
    run = 0
    for frame, probability in enumerate(frames):
        run = run + 1 if probability >= 0.5 else 0
        assert run < 5 or frame in heard or frame - 1 in heard
    pause = 0
    for frame in range(len(frames)):
        pause = pause + 1 if frames[frame] < 0.35 and frame in heard else 0
        assert pause <= LONGEST_PAUSE + 2 * 6 + 3
