"""The parameters of the query. Those that ask for what is always done are ignored."""

from dataclasses import dataclass

from flask import request

from whisper_service.errors import InvalidRequest
from whisper_service.jobs.orders import TranscriptionRequest
from whisper_service.models.catalog import ModelFile
from whisper_service.web import params
from whisper_service.whisper import languages
from whisper_service.whisper.options import MAX_PROMPT, Options

OUTPUTS = ("txt", "vtt", "srt", "tsv", "json")
TASKS = ("transcribe", "translate")


@dataclass(frozen=True)
class Wanted:
    """What to transcribe, and the form of the answer."""

    request: TranscriptionRequest
    output: str


def read(model: ModelFile) -> Wanted:
    """Read the query of a request for a transcript. Raises InvalidRequest."""
    output, task = _choice("output", OUTPUTS), _choice("task", TASKS)
    options = Options(
        translate=task == "translate",
        prompt=(params.optional_text(request.args, "initial_prompt") or "")[-MAX_PROMPT:],
        word_timestamps=params.flag("word_timestamps"),
    )
    language = languages.code_of(params.optional_text(request.args, "language") or "auto")
    return Wanted(TranscriptionRequest(model, language, ["verbose_json"], options), output)


def is_headerless() -> bool:
    """Return whether the recording is samples alone, which `encode=false` means."""
    return "encode" in request.args and not params.flag("encode")


def filename() -> str | None:
    """Return the name of the video whose sound it is, which Bazarr can send; None without one."""
    return request.args.get("video_file")


def _choice(name: str, values: tuple[str, ...]) -> str:
    """Return the value of a parameter, or the first of those that it may have."""
    value = request.args.get(name) or values[0]
    if value not in values:
        raise InvalidRequest(f"{name} must be one of: {', '.join(values)}")
    return value
