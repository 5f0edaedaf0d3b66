"""The chunks of a recording that Whisper transcribes: speech without the silence around it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from whisper_service.audio import FRAME_SAMPLES, FRAMES_PER_SECOND, seconds_of

# Silero's own thresholds: speech begins above the first and ends below the second.
SPEECH, SILENCE = 0.5, 0.35
SHORTEST_SPEECH = 3  # frames
SHORTEST_PAUSE = round(0.16 * FRAMES_PER_SECOND)
# A pause up to this is kept whole; of a longer one only the margins are, and no cue spans it.
LONGEST_PAUSE = round(1.6 * FRAMES_PER_SECOND)
# Silence that is kept before and after speech, where there is any.
MARGIN = round(0.2 * FRAMES_PER_SECOND)
# The cost of a chunk and that of a cut without any pause, in seconds of speech: the first is what a
# chunk takes besides its speech, and a cut within a sentence costs words.
CHUNK_COST, CUT_COST = 3.0, 6.0
# The pause, in seconds, in which a cut costs half as much.
HALVING_PAUSE = 0.5

Span = tuple[int, int]


@dataclass(frozen=True, order=True)
class Chunk:
    """Speech that is transcribed at once, from sample `start` to before sample `stop`, at 16 kHz.

    `parts` are what is left of it without long pauses; nothing is left out if there are none.
    """

    start: int
    stop: int
    parts: tuple[Span, ...] = field(default=(), compare=False)

    @property
    def spans(self) -> tuple[Span, ...]:
        return self.parts or ((self.start, self.stop),)

    @property
    def samples(self) -> int:
        """The number of samples without the pauses."""
        return sum(stop - start for start, stop in self.spans)

    @property
    def breaks(self) -> list[float]:
        """The seconds, without the pauses, at which pauses were left out."""
        ends = accumulate(stop - start for start, stop in self.spans[:-1])
        return [seconds_of(end) for end in ends]

    def place(self, time: float) -> "Place":
        """Return where a time of the chunk, in seconds without its pauses, is in the recording."""
        before = 0.0
        for start, stop in self.spans:
            after = before + seconds_of(stop - start)
            if time < after:
                break
            before = after
        return Place(seconds_of(start), seconds_of(stop), seconds_of(stop) - after)


@dataclass(frozen=True)
class Place:
    """A part of a chunk, from `start` to `end` in seconds of the recording.

    `offset` is what to add to the chunk's times there.
    """

    start: float
    end: float
    offset: float


def plan(probabilities: Sequence[float], samples: int, longest_seconds: float) -> list[Chunk]:
    """Cut a recording into chunks where nobody speaks, leaving long silence out.

    `probabilities` has one number from 0 to 1 for each frame. No chunk has more than
    `longest_seconds` without its pauses; speech that goes on is cut where it is least like speech.
    """
    longest = int(longest_seconds * FRAMES_PER_SECOND) - 2 * MARGIN
    pieces = [
        piece
        for start, stop in _speech(probabilities)
        for piece in _cut(probabilities, start, stop, longest)
    ]
    chunks = []
    widened = _with_margins(pieces, samples)
    for first, last in _group(pieces, longest):
        parts: list[Span] = []
        for number in range(first, last):
            start, stop = widened[number]
            if number > first and pieces[number][0] - pieces[number - 1][1] <= LONGEST_PAUSE:
                start = parts.pop()[0]
            parts.append((start, stop))
        if parts[0][0] < parts[-1][1]:
            chunks.append(Chunk(parts[0][0], parts[-1][1], tuple(parts)))
    return chunks


def _speech(probabilities: Sequence[float]) -> list[Span]:
    """Return where speech begins and ends, in frames; the shortest pauses do not end it."""
    found: list[Span] = []
    start = None
    for frame, probability in enumerate([*probabilities, 0.0]):
        if start is None and probability >= SPEECH:
            start = frame
        elif start is not None and probability < SILENCE:
            if frame - start >= SHORTEST_SPEECH:
                if found and start - found[-1][1] < SHORTEST_PAUSE:
                    start = found.pop()[0]
                found.append((start, frame))
            start = None
    return found


def _cut(probabilities: Sequence[float], start: int, stop: int, longest: int) -> list[Span]:
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


def _group(pieces: Sequence[Span], longest: int) -> list[Span]:
    """Return which pieces make a chunk each, as ranges of their numbers, at the least cost.

    Chunks are few, and end at long pauses.
    """
    costs, begins = [0.0], [0]  # of the best groups of the first pieces, by their number
    for count in range(1, len(pieces) + 1):
        best, begin = float("inf"), count - 1
        length = 0
        for first in range(count - 1, -1, -1):
            start, stop = pieces[first]
            length += stop - start
            if first < count - 1:
                length += _kept_pause(pieces[first + 1][0] - stop)
            if length > longest and first < count - 1:
                break
            cost = costs[first] + CHUNK_COST + (_cut_cost(pieces, first) if first else 0.0)
            if cost < best:
                best, begin = cost, first
        costs.append(best)
        begins.append(begin)
    groups = []
    count = len(pieces)
    while count:
        groups.append((begins[count], count))
        count = begins[count]
    return groups[::-1]


def _kept_pause(frames: int) -> int:
    return frames if frames <= LONGEST_PAUSE else 2 * MARGIN


def _cut_cost(pieces: Sequence[Span], number: int) -> float:
    """Return the cost of a cut before a piece."""
    pause = (pieces[number][0] - pieces[number - 1][1]) / FRAMES_PER_SECOND
    return CUT_COST * HALVING_PAUSE / (HALVING_PAUSE + pause)


def _with_margins(pieces: Sequence[Span], samples: int) -> list[Span]:
    """Widen into the silence around, at most halfway to the neighbor. Return samples."""
    widened = []
    for number, (start, stop) in enumerate(pieces):
        before = pieces[number - 1][1] if number else 0
        after = pieces[number + 1][0] if number + 1 < len(pieces) else samples // FRAME_SAMPLES + 1
        first = start - min(MARGIN, (start - before) // 2 if number else start)
        last = stop + min(MARGIN, (after - stop) // 2 if number + 1 < len(pieces) else MARGIN)
        widened.append((min(first * FRAME_SAMPLES, samples), min(last * FRAME_SAMPLES, samples)))
    return widened
