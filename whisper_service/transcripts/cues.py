"""Subtitle cues: segments as lines of a readable width."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from whisper_service.transcripts.transcript import Segment, Transcript, Word


@dataclass(frozen=True)
class Layout:
    """The most characters of a line, and the most lines of a cue; None is no limit."""

    width: int | None = None
    lines: int | None = None


@dataclass(frozen=True)
class Cue:
    """Lines of text, with times in seconds from the start of the recording."""

    start: float
    end: float
    lines: list[str]


def cues(transcript: Transcript, layout: Layout) -> list[Cue]:
    """Return a cue of one line per segment, or, with a width, as many cues as its lines need."""
    if layout.width is None:
        return [Cue(each.start, each.end, [each.text]) for each in transcript.segments]
    return [cue for each in transcript.segments for cue in _of_segment(each, layout)]


def _of_segment(segment: Segment, layout: Layout) -> Iterator[Cue]:
    lines = iter(_lines(_words(segment), layout.width or len(segment.text)))
    groups = list(iter(lambda: list(islice(lines, layout.lines)), []))
    starts = [segment.start, *(group[0][0].start for group in groups[1:]), segment.end]
    for group, start, end in zip(groups, starts, starts[1:], strict=False):
        yield Cue(start, end, [" ".join(word.text for word in line) for line in group])


def _lines(words: Sequence[Word], width: int) -> Iterator[list[Word]]:
    line: list[Word] = []
    length = 0
    for word in words:
        for part in _split(word, width):
            if line and length + 1 + len(part.text) > width:
                yield line
                line = []
            length = len(part.text) + (length + 1 if line else 0)
            line.append(part)
    if line:
        yield line


def _words(segment: Segment) -> list[Word]:
    """Return the segment's words; unknown times are divided by the number of letters."""
    texts = segment.text.split()
    if [word.text for word in segment.words] == texts:
        return segment.words
    return spread(texts, segment.start, segment.end, joint=1)


def _split(word: Word, width: int) -> list[Word]:
    """Split a word that is longer than a line, like text in a script without spaces."""
    if len(word.text) <= width:
        return [word]
    texts = [word.text[start : start + width] for start in range(0, len(word.text), width)]
    return spread(texts, word.start, word.end, joint=0)


def spread(texts: Sequence[str], start: float, end: float, joint: int) -> list[Word]:
    """Divide a time span among texts by length, with `joint` characters between two of them."""
    total = sum(map(len, texts)) + joint * (len(texts) - 1)
    words, passed = [], 0
    for text in texts:
        first = start + (end - start) * passed / total
        passed += len(text)
        last = start + (end - start) * passed / total
        words.append(Word(text, round(first, 3), round(last, 3)))
        passed += joint
    return words
