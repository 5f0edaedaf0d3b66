"""Rendering a transcript: FORMATS maps names to renderers."""

from collections.abc import Callable
from dataclasses import dataclass
from json import dumps
from typing import Any

from whisper_service.transcripts.cues import Cue, Layout, cues
from whisper_service.transcripts.transcript import Segment, Transcript

# What can be requested of a transcription; the others are views of a completed one.
ORDERED = ("verbose_json", "srt", "vtt")


def verbose_json(transcript: Transcript, _layout: Layout) -> dict[str, Any]:
    """Render with OpenAI's field names, where the engine has their values."""
    answer = {
        "task": transcript.task,
        "text": transcript.text,
        "segments": [_segment(number, item) for number, item in enumerate(transcript.segments)],
        "language": transcript.language,
        "duration": transcript.duration,
    }
    words = [word for segment in transcript.segments for word in segment.words]
    if words:
        answer["words"] = [
            {"word": word.text, "start": word.start, "end": word.end} for word in words
        ]
    return answer


def json(transcript: Transcript, _layout: Layout) -> dict[str, Any]:
    return {"text": transcript.text}


def srt(transcript: Transcript, layout: Layout) -> dict[str, Any]:
    """Render as SubRip: numbered cues, a comma before the milliseconds."""
    texts = (
        # An arrow inside a cue would read as the timing line of another.
        f"{number}\n{_timing(cue, ',')}\n{_text(cue).replace('-->', '->')}"
        for number, cue in enumerate(cues(transcript, layout), start=1)
    )
    return {"text": "\n\n".join(texts)}


def vtt(transcript: Transcript, layout: Layout) -> dict[str, Any]:
    """Render as WebVTT (W3C), where &, < and > stand for markup unless escaped."""
    texts = (f"{_timing(cue, '.')}\n{_escape(_text(cue))}" for cue in cues(transcript, layout))
    return {"text": "\n\n".join(["WEBVTT", *texts])}


def txt(transcript: Transcript, layout: Layout) -> dict[str, Any]:
    """Render as plain text, a line for each segment."""
    return {"text": "\n".join(_text(cue) for cue in cues(transcript, layout))}


def tsv(transcript: Transcript, layout: Layout) -> dict[str, Any]:
    """Render as a table of start, end (both in milliseconds) and text, as openai/whisper does."""
    rows = (
        f"{round(cue.start * 1000)}\t{round(cue.end * 1000)}\t{' '.join(cue.lines)}"
        for cue in cues(transcript, layout)
    )
    return {"text": "\n".join(["start\tend\ttext", *rows])}


def lrc(transcript: Transcript, layout: Layout) -> dict[str, Any]:
    """Render as timed lyrics: [minutes:seconds.hundredths] and the text from there on."""
    rows = (f"[{_lyric_time(cue.start)}]{' '.join(cue.lines)}" for cue in cues(transcript, layout))
    return {"text": "\n".join(rows)}


@dataclass(frozen=True)
class Format:
    """`render` returns the data of a response; `content_type` and `ending` are those of a file."""

    render: Callable[[Transcript, Layout], dict[str, Any]]
    content_type: str
    ending: str

    @property
    def is_json(self) -> bool:
        return self.content_type == "application/json"


FORMATS = {
    "verbose_json": Format(verbose_json, "application/json", ".json"),
    "srt": Format(srt, "application/x-subrip", ".srt"),
    "vtt": Format(vtt, "text/vtt", ".vtt"),
    "json": Format(json, "application/json", ".json"),
    "txt": Format(txt, "text/plain", ".txt"),
    "tsv": Format(tsv, "text/tab-separated-values", ".tsv"),
    "lrc": Format(lrc, "application/x-lrc", ".lrc"),
}


def file_content(name: str, transcript: Transcript, layout: Layout) -> bytes:
    """Render a transcript as the content of a file: text ends with a line feed, JSON is compact."""
    data = FORMATS[name].render(transcript, layout)
    if FORMATS[name].is_json:
        return encode(data)
    return f"{data['text']}\n".encode()


def encode(data: dict[str, Any]) -> bytes:
    """Encode the data of a response as JSON."""
    return dumps(data, ensure_ascii=False, separators=(",", ":")).encode()


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": number,
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "language": segment.language,
        "tokens": segment.tokens,
        "temperature": segment.temperature,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
    }


def _text(cue: Cue) -> str:
    return "\n".join(cue.lines)


def _timing(cue: Cue, mark: str) -> str:
    return f"{_timestamp(cue.start, mark)} --> {_timestamp(cue.end, mark)}"


def _timestamp(seconds: float, mark: str) -> str:
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    return (
        f"{minutes // 60:02}:{minutes % 60:02}:"
        f"{milliseconds // 1000:02}{mark}{milliseconds % 1000:03}"
    )


def _lyric_time(seconds: float) -> str:
    minutes, hundredths = divmod(round(seconds * 100), 6000)
    return f"{minutes:02}:{hundredths // 100:02}.{hundredths % 100:02}"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
