"""Transcriptions: ordered, looked at, waited for, deleted."""

from whisper_service.jobs.orders import LATER
from whisper_service.transcripts.formats import FORMATS
from whisper_service.web.params import MAX_LIMIT
from whisper_service.web.reference.notation import (
    ANYONE,
    BY_UUID,
    JSON,
    PAGE_ERRORS,
    SWITCH,
    Group,
    Operation,
    answer,
    body,
    content,
    in_query,
    listed,
    page_of,
    record,
    ref,
    told,
)
from whisper_service.web.reference.schemas import EXAMPLE_UUID, STRING, UUID
from whisper_service.web.rendering import BUSY as RENDERING_BUSY
from whisper_service.web.transcriptions import MAX_LINE_COUNT, MAX_LINE_WIDTH, MAX_WAIT

VIEW = (
    in_query("format", {"enum": list(FORMATS)}, "Another format than the one that was ordered."),
    in_query(
        "max_line_width",
        {"type": "integer", "minimum": 1, "maximum": MAX_LINE_WIDTH},
        "Break the lines of subtitles between words, and longer words, at so many characters.",
    ),
    in_query(
        "max_line_count",
        {"type": "integer", "minimum": 1, "maximum": MAX_LINE_COUNT},
        "Lines of a subtitle. Needs max_line_width.",
    ),
)
NO_TRANSCRIPTION = ("Transcription not found",)
VIEW_ERRORS = (
    f"Invalid format: pdf. Must be one of: {', '.join(FORMATS)}",
    f"max_line_width must be an integer between 1 and {MAX_LINE_WIDTH}",
    f"max_line_count must be an integer between 1 and {MAX_LINE_COUNT}",
    "max_line_count needs max_line_width",
)
COMPLETED = {
    "uuid": "018c5f9b1a2b3c4d5e6f7a8b9c0d1e2f",
    "file_uuid": EXAMPLE_UUID,
    "model": "ggml-base.en",
    "language": "en",
    "format": "srt",
    "status": "completed",
    "processed_at": "2025-01-15 10:35:20",
    "data": {"text": "1\n00:00:00,000 --> 00:00:03,500\nHello, this is a test transcription."},
}
RESULTS = {
    "anyOf": [
        ref("Transcription"),
        record(
            {
                "transcriptions": listed(
                    {"anyOf": [ref("Transcription"), ref("CompletedWithoutData")]}
                ),
                "pagination": ref("Pagination"),
            }
        ),
        ref("Data"),
    ]
}

TRANSCRIPTIONS = (
    Operation(
        "POST /api/v1/transcribe",
        "orderTranscriptions",
        "Order the transcription of a file, in one format or several",
        told(
            record({"message": STRING, "transcriptions": listed(ref("Queued"))}),
            {
                "message": "Transcription(s) queued successfully",
                "transcriptions": [
                    {
                        "uuid": "018c5f9b1a2b3c4d5e6f7a8b9c0d1e2f",
                        "format": "verbose_json",
                        "status": "pending",
                    }
                ],
            },
        ),
        about="Each format is a transcription of its own, which costs a token for every started "
        "second times the user's price. Tokens are taken when it starts and given back if it "
        "fails.",
        body=body(
            ref("Order"),
            {
                "uuid": EXAMPLE_UUID,
                "model": "ggml-base.en",
                "language": "en",
                "format": ["verbose_json", "srt", "vtt"],
            },
        ),
        errors={
            400: (
                "Missing file uuid",
                "Missing model",
                "Invalid UUID format",
                "Invalid format: txt. Must be one of: verbose_json, srt, vtt",
                "At least one format must be specified",
                "Invalid language: xx",
                "Model ggml-base.en knows English only, not de",
            ),
            404: ("File not found or access denied", "Model not found: ggml-none"),
            429: (
                f"You have 1000 unfinished transcriptions of at most 1000: {LATER}",
                f"This file has 100 unfinished transcriptions of at most 100: {LATER}",
            ),
        },
    ),
    Operation(
        "GET /api/v1/transcribe/{uuid}",
        "getTranscription",
        "A transcription, or all of a file by the file's uuid, oldest first",
        {
            200: answer(
                "What is known by now; with download the text alone",
                {kind.content_type: content(STRING) for kind in FORMATS.values()}
                | {JSON: content(RESULTS, COMPLETED)},
            )
        },
        ANYONE,
        "A failed one tells why. Any format of a finished one is for free. A list that would be "
        "too long has the later ones without their data, and `data_omitted`.",
        parameters=(
            BY_UUID,
            *VIEW,
            *page_of(MAX_LIMIT),
            in_query("download", SWITCH, "Answer with the text as a file, if it is completed."),
            in_query(
                "wait",
                {"type": "integer", "minimum": 1, "maximum": MAX_WAIT},
                "Answer when the status has changed, after so many seconds at the latest. When "
                "many wait already it is answered at once.",
            ),
        ),
        errors={
            400: (
                *VIEW_ERRORS,
                *PAGE_ERRORS,
                "download must be true or false",
                f"wait must be an integer between 1 and {MAX_WAIT}",
            ),
            404: NO_TRANSCRIPTION,
            409: ("The transcription is pending",),
            429: (RENDERING_BUSY,),
        },
    ),
    Operation(
        "GET /api/v1/transcribe/{uuid}/events",
        "streamTranscription",
        "A transcription each time that there is news of it, until it has ended",
        {200: answer("Server-sent events", {"text/event-stream": content(ref("Event"))})},
        ANYONE,
        "Each event is called status, and its data are what a request for the transcription "
        "answers at that moment.",
        parameters=(BY_UUID, *VIEW),
        errors={
            400: VIEW_ERRORS,
            404: NO_TRANSCRIPTION,
            429: ("Too many requests are waiting. Ask for the status instead", RENDERING_BUSY),
        },
    ),
    Operation(
        "DELETE /api/v1/transcribe/{uuid}",
        "deleteTranscription",
        "Delete a transcription. One that runs is cancelled, and costs what was transcribed",
        told(
            record({"message": STRING, "uuid": UUID, "model": STRING, "format": STRING}),
            {
                "message": "Transcription deleted successfully",
                "uuid": "018c5f9b1a2b3c4d5e6f7a8b9c0d1e2f",
                "model": "ggml-base.en",
                "format": "verbose_json",
            },
        ),
        parameters=(BY_UUID,),
        errors={404: ("Transcription not found or access denied",)},
    ),
)
GROUPS = (Group("Transcriptions", "Whoever has the uuid of one may read it.", TRANSCRIPTIONS),)
