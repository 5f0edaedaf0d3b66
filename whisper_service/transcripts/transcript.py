"""Transcripts, and tidying of their segments."""

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
class TokenLogprob:
    """A token's UTF-8, which may be a part of a letter, and its log-probability."""

    bytes: list[int]
    logprob: float


@dataclass(frozen=True)
class Segment:
    """A stretch of speech. Times are seconds from the start of the recording.

    `words` and `logprobs` are empty unless they were requested. `language` is an ISO 639-1 code.
    """

    start: float
    end: float
    text: str
    tokens: list[int]
    avg_logprob: float
    compression_ratio: float
    temperature: float
    words: list[Word] = field(default_factory=list)
    language: str = ""
    logprobs: list[TokenLogprob] = field(default_factory=list)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Segment":
        words = [Word(each["text"], each["start"], each["end"]) for each in values.get("words", ())]
        logprobs = [TokenLogprob(**each) for each in values.get("logprobs", ())]
        return cls(**{**values, "words": words, "logprobs": logprobs})


@dataclass(frozen=True)
class Transcript:
    """The transcript of a recording. `duration` is in seconds.

    `language` is the ISO 639-1 code of the one spoken longest; None without speech. `task` is
    "transcribe", or "translate" for an English translation.
    """

    text: str
    language: str | None
    duration: float
    segments: list[Segment]
    task: str = "transcribe"

    def to_json(self) -> str:
        # `asdict` copies every value, which takes several times as long as the encoding.
        return json.dumps(self, default=vars, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, data: str) -> "Transcript":
        values = json.loads(data)
        # Older transcripts have one language for all segments, "auto" without speech.
        language = None if values["language"] == "auto" else values["language"]
        values |= {
            "language": language,
            "segments": [
                Segment.from_dict({"language": language, **segment})
                for segment in values["segments"]
            ],
        }
        return cls(**values)


def tidy(segments: Sequence[Segment], duration: float) -> list[Segment]:
    """Return the segments in order, without empty ones, and none past the end of the recording.

    Times are rounded to milliseconds, so that all formats agree.
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
            words = limit_words(segment.words, start, end)
            timed = replace(segment, start=start, end=end, text=text, words=words)
            tidied.append(_join([*untimed, timed], timed))
            untimed.clear()
            floor = end
        elif text and tidied:
            # Text without a time span belongs to the segment before it.
            last = tidied[-1]
            words = limit_words(segment.words, last.end, last.end)
            tidied[-1] = _join([last, replace(segment, text=text, words=words)], last)
        elif text:
            untimed.append(
                replace(segment, text=text, words=limit_words(segment.words, start, start))
            )
    return tidied


def _join(parts: Sequence[Segment], timed: Segment) -> Segment:
    """Return `timed` with the texts, words and log-probabilities of all parts."""
    words = [word for part in parts for word in part.words]
    logprobs = [each for part in parts for each in part.logprobs]
    text = " ".join(part.text for part in parts)
    words = limit_words(words, timed.start, timed.end)
    return replace(timed, text=text, words=words, logprobs=logprobs)


def limit_words(words: Sequence[Word], start: float, end: float) -> list[Word]:
    """Return the words in order, limited to a time span."""
    placed = []
    for word in words:
        start = min(max(round(word.start, 3), start), end)
        placed.append(Word(word.text, start, min(max(round(word.end, 3), start), end)))
        start = placed[-1].end
    return placed
