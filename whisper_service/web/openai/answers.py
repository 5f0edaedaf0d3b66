"""Rendering of a transcript as OpenAI's clients expect it."""

import json
import math
from collections.abc import Iterable
from typing import Any

from flask import Response

from whisper_service.transcripts.cues import Layout
from whisper_service.transcripts.formats import FORMATS
from whisper_service.transcripts.transcript import Segment, Transcript
from whisper_service.web.openai.form import Wanted
from whisper_service.whisper import languages


def render(transcript: Transcript, wanted: Wanted) -> Response:
    match wanted.format:
        case "text":
            return Response(f"{transcript.text}\n", mimetype="text/plain")
        case "srt" | "vtt" as name:
            text = FORMATS[name].render(transcript, Layout())["text"]
            return Response(f"{text}\n", mimetype="text/plain")
        case "json":
            data: dict[str, Any] = {"text": transcript.text}
        case _:  # some clients ask for no format, and look for segments
            data = _verbose(transcript, wanted.granularities)
    if wanted.with_logprobs:
        data["logprobs"] = logprobs(transcript.segments)
    data["usage"] = {"type": "duration", "seconds": math.ceil(transcript.duration)}
    return Response(json.dumps(data, ensure_ascii=False), mimetype="application/json")


def logprobs(segments: Iterable[Segment]) -> list[dict[str, Any]]:
    """Return the log-probability of each token, with its text as far as it is whole letters."""
    return [
        {
            "token": bytes(each.bytes).decode(errors="replace"),
            "bytes": each.bytes,
            "logprob": each.logprob,
        }
        for segment in segments
        for each in segment.logprobs
    ]


def _verbose(transcript: Transcript, granularities: set[str]) -> dict[str, Any]:
    data = FORMATS["verbose_json"].render(transcript, Layout())
    if "segment" not in granularities:
        del data["segments"]
    for segment in data.get("segments", ()):
        segment["seek"] = round(segment["start"] * 100)
        segment["no_speech_prob"] = 0.0  # what is no speech was left out before
    data["language"] = languages.NAMES.get(transcript.language or "", "")  # is always text
    return data
