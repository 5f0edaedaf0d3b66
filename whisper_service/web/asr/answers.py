"""Answers as the clients of whisper-asr-webservice read them."""

import json
from typing import Any

from flask import Response

from whisper_service.transcripts.cues import Layout
from whisper_service.transcripts.formats import FORMATS
from whisper_service.transcripts.transcript import Segment, Transcript
from whisper_service.whisper import languages
from whisper_service.whisper.protocol import LanguageDetected

# ISO 639-2's code for an undetermined language, which Bazarr and subgen know.
UNDETERMINED = {"detected_language": "unknown", "language_code": "und", "confidence": 0.0}


def render(transcript: Transcript, output: str) -> Response:
    """Render a transcript. Without speech it is empty, which Bazarr takes for no subtitle."""
    if output == "json":
        data = json.dumps(_verbose(transcript), ensure_ascii=False)
        return Response(data, mimetype="application/json")
    text = FORMATS[output].render(transcript, Layout())["text"]
    return Response(f"{text}\n" if text else "", mimetype="text/plain")


def describe(found: LanguageDetected | None) -> dict[str, Any]:
    """Return a detected language, or that there was none."""
    if found is None:
        return UNDETERMINED
    return {
        "detected_language": languages.NAMES.get(found.language, found.language),
        "language_code": found.language,
        "confidence": found.probability,
    }


def _verbose(transcript: Transcript) -> dict[str, Any]:
    """Return text, language and segments with the fields of openai/whisper."""
    data = FORMATS["verbose_json"].render(transcript, Layout())
    segments = [
        {**shown, **_more(segment)}
        for shown, segment in zip(data["segments"], transcript.segments, strict=True)
    ]
    return {"language": data["language"], "segments": segments, "text": data["text"]}


def _more(segment: Segment) -> dict[str, Any]:
    words = [{"word": each.text, "start": each.start, "end": each.end} for each in segment.words]
    return {
        "seek": round(segment.start * 100),
        "no_speech_prob": 0.0,  # what is no speech was left out before
        **({"words": words} if words else {}),
    }
