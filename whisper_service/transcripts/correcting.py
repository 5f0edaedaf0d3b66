"""Correcting a transcript: its segments with other texts, times and borders."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

from whisper_service.errors import InvalidRequest
from whisper_service.transcripts.cues import spread
from whisper_service.transcripts.transcript import Segment, Transcript, Word, limit_words

# Aligning takes time with the product of both numbers of words. Whisper's segments have fewer.
MOST_ALIGNED = 100
# Languages that put no space between sentences.
SPACELESS = frozenset({"ja", "yue", "zh"})


@dataclass(frozen=True)
class CorrectedSegment:
    """A segment as its user wants it. Times are seconds from the start of the recording."""

    start: float
    end: float
    text: str


def corrected(original: Transcript, wanted: Sequence[CorrectedSegment]) -> Transcript:
    """Return a transcript with the segments that are wanted.

    What is known of the original's segments stays with those that have their times; words that
    stay keep their times. Raises InvalidRequest that names a segment whose times are not in order
    or outside of the recording, or that has no text.
    """
    check(wanted, original.duration)
    known = {(each.start, each.end): each for each in original.segments}
    words = _Words([word for segment in original.segments for word in segment.words])
    segments = []
    for each in wanted:
        text = " ".join(each.text.split())
        segment = known.get((each.start, each.end)) or _new(each, original)
        if segment.text != text:
            segment = replace(segment, text=text, tokens=[], words=words.of(each))
        segments.append(segment)
    space = "" if original.language in SPACELESS else " "
    return replace(original, text=space.join(each.text for each in segments), segments=segments)


def check(wanted: Sequence[CorrectedSegment], duration: float) -> None:
    before = 0.0
    for number, each in enumerate(wanted):
        name = f"segments[{number}]"
        if not each.text.strip():
            raise InvalidRequest(f"{name} has no text")
        if each.start < before:
            raise InvalidRequest(f"{name} starts before the one before it ends")
        if each.end <= each.start:
            raise InvalidRequest(f"{name} must end after it starts")
        if each.end > duration:
            raise InvalidRequest(f"{name} ends after the recording, which has {duration} seconds")
        before = each.end


def _new(wanted: CorrectedSegment, original: Transcript) -> Segment:
    """Return a segment that the original has not, in the language that is spoken there."""
    segments = original.segments
    at = bisect_right(segments, wanted.start, key=lambda each: each.end)
    language = segments[at].language if at < len(segments) else original.language or ""
    return Segment(wanted.start, wanted.end, "", [], 0.0, 1.0, 0.0, language=language)


class _Words:
    """The words of the original, in order."""

    def __init__(self, words: list[Word]) -> None:
        self._words = words
        self._at = 0

    def of(self, segment: CorrectedSegment) -> list[Word]:
        """Return a segment's words, if the original has any. Segments are asked for in order.

        Those that were in this place before keep their times, the others share what is between.
        """
        if not self._words:
            return []
        while self._at < len(self._words) and self._middle(self._at) < segment.start:
            self._at += 1
        end = self._at
        while end < len(self._words) and self._middle(end) < segment.end:
            end += 1
        return _aligned(segment, self._words[self._at : end])

    def _middle(self, number: int) -> float:
        word = self._words[number]
        return (word.start + word.end) / 2


def _aligned(segment: CorrectedSegment, before: Sequence[Word]) -> list[Word]:
    texts = segment.text.split()
    if max(len(before), len(texts)) > MOST_ALIGNED:
        return spread(texts, segment.start, segment.end, joint=1)
    same = SequenceMatcher(None, [word.text for word in before], texts, autojunk=False)
    aligned: list[Word] = []
    for block in same.get_matching_blocks():  # the last one is empty, at the end of both
        kept = before[block.a : block.a + block.size]
        start = aligned[-1].end if aligned else segment.start
        end = max(start, kept[0].start) if kept else segment.end
        aligned += spread(texts[len(aligned) : block.b], start, end, joint=1)
        aligned += kept
    return limit_words(aligned, segment.start, segment.end)
