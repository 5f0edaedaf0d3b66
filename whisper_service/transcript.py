"""What Whisper heard in a recording."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True)
class Segment:
    """A stretch of speech. Times are seconds from the start of the recording."""

    start: float
    end: float
    text: str
    tokens: list[int]
    avg_logprob: float
    compression_ratio: float
    temperature: float


@dataclass(frozen=True)
class Transcript:
    """A whole recording. `duration` is seconds, `language` the ISO 639-1 code that was spoken."""

    text: str
    language: str
    duration: float
    segments: list[Segment]

    def to_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, data: str) -> "Transcript":
        values = json.loads(data)
        values["segments"] = [Segment(**segment) for segment in values["segments"]]
        return cls(**values)


def tidy(segments: Sequence[Segment], duration: float) -> list[Segment]:
    """Make the cues presentable: in order, none empty, none past the end of the recording.

    Times are whole milliseconds afterwards, so that no format rounds them differently.
    """
    tidied: list[Segment] = []
    floor = 0.0
    limit = int(duration * 1000) / 1000
    for segment in segments:
        text = " ".join(segment.text.split())
        start = round(max(segment.start, floor), 3)
        end = round(min(segment.end, limit), 3)
        if not text:
            continue
        if start < end:
            tidied.append(replace(segment, start=start, end=end, text=text))
            floor = end
        elif tidied:
            # Words without time of their own belong to the cue before them.
            tidied[-1] = replace(tidied[-1], text=f"{tidied[-1].text} {text}")
    return tidied
