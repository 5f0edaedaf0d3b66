"""A transcript in each format that can be asked for: FORMATS, from name to renderer."""

from collections.abc import Callable
from typing import Any

from whisper_service.transcript import Segment, Transcript


def verbose_json(transcript: Transcript) -> dict[str, Any]:
    """Render with OpenAI's field names, as far as the engine knows their values."""
    return {
        "task": "transcribe",
        "text": transcript.text,
        "segments": [_segment(number, item) for number, item in enumerate(transcript.segments)],
        "language": transcript.language,
        "duration": transcript.duration,
    }


def srt(transcript: Transcript) -> dict[str, Any]:
    """Render as SubRip: numbered cues, a comma before the milliseconds."""
    cues = (
        # An arrow inside a cue would read as the timing line of another.
        f"{number}\n{_timing(item, ',')}\n{item.text.replace('-->', '->')}"
        for number, item in enumerate(transcript.segments, start=1)
    )
    return {"text": "\n\n".join(cues)}


def vtt(transcript: Transcript) -> dict[str, Any]:
    """Render as WebVTT (W3C), where &, < and > stand for markup unless escaped."""
    cues = (f"{_timing(item, '.')}\n{_escape(item.text)}" for item in transcript.segments)
    return {"text": "\n\n".join(["WEBVTT", *cues])}


FORMATS: dict[str, Callable[[Transcript], dict[str, Any]]] = {
    "verbose_json": verbose_json,
    "srt": srt,
    "vtt": vtt,
}


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": number,
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": segment.tokens,
        "temperature": segment.temperature,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
    }


def _timing(segment: Segment, mark: str) -> str:
    return f"{_timestamp(segment.start, mark)} --> {_timestamp(segment.end, mark)}"


def _timestamp(seconds: float, mark: str) -> str:
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    return (
        f"{minutes // 60:02}:{minutes % 60:02}:"
        f"{milliseconds // 1000:02}{mark}{milliseconds % 1000:03}"
    )


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
