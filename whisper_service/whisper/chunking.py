"""The chunks of a recording that Whisper transcribes: speech without the silence around it."""

from collections.abc import Sequence
from dataclasses import dataclass

from whisper_service.audio import FRAME_SAMPLES, FRAMES_PER_SECOND

# Silero's own thresholds: speech begins above the first and ends below the second.
SPEECH, SILENCE = 0.5, 0.35
SHORTEST_SPEECH = 3  # frames
# A pause up to this stays inside a chunk; a cue never spans a longer one.
LONGEST_PAUSE = round(1.6 * FRAMES_PER_SECOND)
# Silence that a chunk keeps before and after its speech, where there is any.
MARGIN = round(0.2 * FRAMES_PER_SECOND)


@dataclass(frozen=True, order=True)
class Chunk:
    """From sample `start` to before sample `stop`, at 16 kHz."""

    start: int
    stop: int


def plan(probabilities: Sequence[float], samples: int, longest_seconds: float) -> list[Chunk]:
    """Cut a recording into chunks where nobody speaks, leaving the silence out.

    `probabilities` has one number from 0 to 1 for each frame. No chunk is longer than
    `longest_seconds`; speech that goes on is cut where it is least like speech.
    """
    longest = int(longest_seconds * FRAMES_PER_SECOND) - 2 * MARGIN
    pieces = [
        piece
        for start, stop in _speech(probabilities)
        for piece in _cut(probabilities, start, stop, longest)
    ]
    return _with_margins(_join(pieces, longest), samples)


def _speech(probabilities: Sequence[float]) -> list[tuple[int, int]]:
    """Return where speech begins and ends, in frames."""
    found = []
    start = None
    for frame, probability in enumerate([*probabilities, 0.0]):
        if start is None and probability >= SPEECH:
            start = frame
        elif start is not None and probability < SILENCE:
            if frame - start >= SHORTEST_SPEECH:
                found.append((start, frame))
            start = None
    return found


def _cut(
    probabilities: Sequence[float], start: int, stop: int, longest: int
) -> list[tuple[int, int]]:
    """Cut speech that is too long at the least probable frame in the second half of what fits."""
    pieces = []
    while stop - start > longest:
        middle = min(
            range(start + longest // 2, start + longest),
            key=lambda frame: sum(probabilities[frame - 1 : frame + 2]),
        )
        pieces.append((start, middle))
        start = middle
    return [*pieces, (start, stop)]


def _join(pieces: Sequence[tuple[int, int]], longest: int) -> list[tuple[int, int]]:
    """Join neighbors as far as the pauses between them and the length allow."""
    joined: list[tuple[int, int]] = []
    for start, stop in pieces:
        if joined:
            before, end = joined[-1]
            if start - end <= LONGEST_PAUSE and stop - before <= longest:
                joined[-1] = (before, stop)
                continue
        joined.append((start, stop))
    return joined


def _with_margins(spans: Sequence[tuple[int, int]], samples: int) -> list[Chunk]:
    """Widen into the silence around, at most halfway to the neighbor."""
    chunks = []
    for number, (start, stop) in enumerate(spans):
        before = spans[number - 1][1] if number else 0
        after = spans[number + 1][0] if number + 1 < len(spans) else samples // FRAME_SAMPLES + 1
        first = start - min(MARGIN, (start - before) // 2 if number else start)
        last = stop + min(MARGIN, (after - stop) // 2 if number + 1 < len(spans) else MARGIN)
        chunks.append(Chunk(first * FRAME_SAMPLES, min(last * FRAME_SAMPLES, samples)))
    return [chunk for chunk in chunks if chunk.start < chunk.stop]
