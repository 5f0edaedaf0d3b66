"""What transcriptions are ordered with and answer, in both dialects."""

from whisper_service.transcripts.formats import FORMATS, ORDERED
from whisper_service.web.reference.notation import Schema, listed, record, ref
from whisper_service.web.reference.schemas import (
    COUNT,
    GIVEN_TEXT,
    LANGUAGE,
    NUMBER,
    SECONDS,
    STRING,
    TEXT,
    TIME,
    UUID,
    maybe,
)
from whisper_service.whisper.options import MAX_PROMPT, MAX_TEMPERATURE

SWITCH: Schema = {"type": ["boolean", "null"], "default": False}
_LOOK: dict[str, Schema] = {
    "uuid": UUID,
    "file_uuid": UUID,
    "model": STRING,
    "language": {
        **LANGUAGE,
        "description": "What was asked for, and the one that was heard when it is completed.",
    },
    "format": {"enum": list(FORMATS)},
    "processed_at": TIME,
}
_ETA: Schema = {
    **maybe(COUNT),
    "description": "Seconds until it is done, null until the model's speed is known.",
}
_NOTHING_YET: Schema = {"type": "null"}
_WORD = record({"word": STRING, "start": SECONDS, "end": SECONDS})
_SEGMENT: dict[str, Schema] = {
    "id": COUNT,
    "start": SECONDS,
    "end": SECONDS,
    "text": STRING,
    "tokens": listed({"type": "integer"}),
    "temperature": NUMBER,
    "avg_logprob": NUMBER,
    "compression_ratio": NUMBER,
}
_HEARD: dict[str, Schema] = {
    "task": {"enum": ["transcribe", "translate"]},
    "text": STRING,
    "language": STRING,
    "duration": SECONDS,
}
TRANSCRIPTIONS: dict[str, Schema] = {
    "Order": record(
        {"uuid": ref("AnyUuid"), "model": GIVEN_TEXT},
        {
            "language": {**maybe(LANGUAGE), "default": "auto"},
            "format": {
                "anyOf": [
                    {"enum": list(ORDERED)},
                    {**listed({"enum": list(ORDERED)}), "minItems": 1},
                    {"type": "null"},
                ],
                "default": "verbose_json",
            },
            "translate": {**SWITCH, "description": "Into English."},
            "prompt": {
                **TEXT,
                "type": ["string", "null"],
                "maxLength": MAX_PROMPT,
                "description": "Text that may have come before: names and spellings to expect.",
            },
            "word_timestamps": SWITCH,
            "temperature": {
                "type": ["number", "null"],
                "minimum": 0,
                "maximum": MAX_TEMPERATURE,
                "description": "Where decoding begins. With at most 6 decimal places.",
            },
        },
    ),
    "Queued": record(
        {"uuid": UUID, "format": {"enum": list(ORDERED)}, "status": {"const": "pending"}}
    ),
    "Segment": record(_SEGMENT),
    "Text": record({"text": {**STRING, "description": "The whole in the format asked for."}}),
    "VerboseJson": record(
        {**_HEARD, "segments": listed(ref("Segment"))},
        {"words": {**listed(_WORD), "description": "If word_timestamps were ordered."}},
    ),
    "Data": {"anyOf": [ref("VerboseJson"), ref("Text")]},
    "Pending": record(
        {
            **_LOOK,
            "status": {"const": "pending"},
            "data": _NOTHING_YET,
            "queue_position": {"type": "integer", "minimum": 1},
            "eta_seconds": _ETA,
        }
    ),
    "Processing": record(
        {
            **_LOOK,
            "status": {"const": "processing"},
            "data": _NOTHING_YET,
            "progress": {"type": "integer", "minimum": 0, "maximum": 100},
            "text": {**STRING, "description": "What was heard so far."},
            "eta_seconds": _ETA,
        }
    ),
    "Completed": record({**_LOOK, "status": {"const": "completed"}, "data": ref("Data")}),
    "CompletedWithoutData": record(
        {
            **_LOOK,
            "status": {"const": "completed"},
            "data": {"type": "null", "description": "Ask for it by its own uuid."},
            "data_omitted": {"const": True},
        }
    ),
    "Failed": record({**_LOOK, "status": {"const": "failed"}, "error": STRING}),
    "Transcription": {
        "oneOf": [ref(name) for name in ("Pending", "Processing", "Completed", "Failed")]
    },
    "Event": record(
        {
            "event": {"const": "status"},
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": ref("Transcription"),
            },
        }
    ),
}

_USAGE = record({"type": {"const": "duration"}, "seconds": COUNT})
OPENAI: dict[str, Schema] = {
    "OpenAiError": record(
        {
            "error": record(
                {
                    "message": STRING,
                    "type": STRING,
                    "param": {"type": "null"},
                    "code": {"type": ["string", "null"]},
                }
            )
        }
    ),
    "OpenAiModel": record(
        {
            "id": STRING,
            "object": {"const": "model"},
            "created": COUNT,
            "owned_by": STRING,
        }
    ),
    "OpenAiText": record({"text": STRING, "usage": _USAGE}),
    "OpenAiVerboseJson": record(
        {**_HEARD, "usage": _USAGE},
        {"segments": listed(record({**_SEGMENT, "seek": COUNT})), "words": listed(_WORD)},
    ),
}
