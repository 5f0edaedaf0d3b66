"""OpenAI's dialect."""

from whisper_service.web.errors import OPENAI_PREFIX
from whisper_service.web.openai import DEFAULT_MODEL, RESPONSE_FORMATS
from whisper_service.web.reference.notation import (
    FORM,
    JSON,
    TEXT,
    Group,
    Operation,
    Schema,
    answer,
    content,
    in_path,
    listed,
    record,
    ref,
    told,
)
from whisper_service.web.reference.schemas import BINARY, GIVEN_TEXT, LANGUAGE, STRING
from whisper_service.whisper.options import MAX_PROMPT, MAX_TEMPERATURE

FIELDS: dict[str, Schema] = {
    "response_format": {"enum": list(RESPONSE_FORMATS), "default": RESPONSE_FORMATS[0]},
    "prompt": {**STRING, "description": f"Of a longer one the last {MAX_PROMPT} characters."},
    "temperature": {"type": "number", "minimum": 0, "maximum": MAX_TEMPERATURE},
    "timestamp_granularities[]": {
        **listed({"enum": ["segment", "word"]}),
        "description": "For verbose_json. Its name may come without brackets.",
    },
}
ABOUT = (
    "As OpenAI's, answered when the work is done. Unknown fields are left. A request that says in "
    "X-Stainless-Retry-Count that it is sent again joins the one before, and does not pay again."
)


def _audio(path: str, name: str, summary: str, more: dict[str, Schema]) -> Operation:
    form = record(
        {"file": BINARY, "model": {**GIVEN_TEXT, "examples": [DEFAULT_MODEL]}}, FIELDS | more
    )
    return Operation(
        f"POST {OPENAI_PREFIX}/audio/{path}",
        name,
        summary,
        {
            200: answer(
                "What was heard",
                {
                    JSON: content({"anyOf": [ref("OpenAiText"), ref("OpenAiVerboseJson")]}),
                    TEXT: content(STRING),
                },
            )
        },
        about=ABOUT,
        body={"required": True, "content": {FORM: content(form)}},
        errors={
            400: (
                "Missing file",
                "Missing model",
                "Unsupported content type",
                f"response_format must be one of: {', '.join(RESPONSE_FORMATS)}",
                "timestamp_granularities must be segment or word",
                "timestamp_granularities needs response_format verbose_json",
                f"temperature must be a number from 0 to {MAX_TEMPERATURE}",
            ),
            404: ("Model not found: gpt-17", "The transcription was deleted"),
            429: ("Insufficient token balance. Required: 11, Available: 5",),
            503: ("The server is ending; the transcription goes on when it starts again",),
        },
    )


OPENAI = (
    _audio(
        "transcriptions",
        "createTranscription",
        "Transcribe a recording and wait for it",
        {"language": {**LANGUAGE, "default": "auto"}},
    ),
    _audio("translations", "createTranslation", "Translate a recording into English", {}),
    Operation(
        f"GET {OPENAI_PREFIX}/models",
        "listOpenAiModels",
        "The models that can be asked for",
        told(record({"object": {"const": "list"}, "data": listed(ref("OpenAiModel"))})),
        about=f"{DEFAULT_MODEL} is the default one of the configuration.",
    ),
    Operation(
        f"GET {OPENAI_PREFIX}/models/{{name}}",
        "getOpenAiModel",
        "One of the models",
        told(ref("OpenAiModel")),
        parameters=(in_path("name", {**GIVEN_TEXT, "examples": [DEFAULT_MODEL]}),),
        errors={404: ("Model not found: gpt-17",)},
    ),
)
GROUPS = (
    Group("OpenAI", "For clients of OpenAI's audio interface, errors included.", OPENAI, JSON),
)
