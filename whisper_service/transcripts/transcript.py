"""What Whisper heard in a recording."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Word:
    """A word with its punctuation. Times are seconds from the start of the recording."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Segment:
    """A stretch of speech. Times are seconds from the start of the recording.

    `words` is empty unless they were asked for.
    """

    start: float
    end: float
    text: str
    tokens: list[int]
    avg_logprob: float
    compression_ratio: float
    temperature: float
    words: list[Word] = field(default_factory=list)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Segment":
        words = [Word(each["text"], each["start"], each["end"]) for each in values.get("words", ())]
        return cls(**{**values, "words": words})


@dataclass(frozen=True)
class Transcript:
    """A whole recording. `duration` is seconds, `language` the ISO 639-1 code that was spoken.

    `task` is "transcribe", or "translate" for a text in English of another language.
    """

    text: str
    language: str
    duration: float
    segments: list[Segment]
    task: str = "transcribe"

    def to_json(self) -> str:
        # `asdict` copies every value, which takes several times as long as the encoding.
        return json.dumps(self, default=vars, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, data: str) -> "Transcript":
        values = json.loads(data)
        values["segments"] = [Segment.from_dict(segment) for segment in values["segments"]]
        return cls(**values)


def tidy(segments: Sequence[Segment], duration: float) -> list[Segment]:
    """Make the cues presentable: in order, none empty, none past the end of the recording.

    Times are whole milliseconds afterwards, so that no format rounds them differently.
    """
    tidied: list[Segment] = []
    untimed: list[Segment] = []
    floor = 0.0
    limit = int(duration * 1000) / 1000
    for segment in segments:
        text = " ".join(segment.text.split())
        start = round(max(segment.start, floor), 3)
        end = round(min(segment.end, limit), 3)
        if text and start < end:
            words = _within(segment.words, start, end)
            timed = replace(segment, start=start, end=end, text=text, words=words)
            tidied.append(_joined([*untimed, timed], timed))
            untimed.clear()
            floor = end
        elif text and tidied:
            # Words without time of their own belong to the cue before them.
            last = tidied[-1]
            words = _within(segment.words, last.end, last.end)
            tidied[-1] = _joined([last, replace(segment, text=text, words=words)], last)
        elif text:
            untimed.append(replace(segment, text=text, words=_within(segment.words, start, start)))
    return tidied


def _joined(parts: Sequence[Segment], timed: Segment) -> Segment:
    """Put the texts and words of all parts into the one that has time for them."""
    words = [word for part in parts for word in part.words]
    text = " ".join(part.text for part in parts)
    return replace(timed, text=text, words=_within(words, timed.start, timed.end))


def _within(words: Sequence[Word], start: float, end: float) -> list[Word]:
    """Put words in order between two times."""
    placed = []
    for word in words:
        start = min(max(round(word.start, 3), start), end)
        placed.append(Word(word.text, start, min(max(round(word.end, 3), start), end)))
        start = placed[-1].end
    return placed
