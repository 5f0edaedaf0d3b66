"""The fields of OpenAI's form. Those that ask for what is always done are ignored."""

from dataclasses import dataclass, replace

from werkzeug.datastructures import MultiDict

from whisper_service.errors import InvalidRequest
from whisper_service.jobs.orders import TranscriptionRequest
from whisper_service.web import params
from whisper_service.web.openai import models
from whisper_service.whisper import languages
from whisper_service.whisper.options import MAX_PROMPT, MAX_TEMPERATURE, Options

RESPONSE_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
GRANULARITIES = {"segment", "word"}
LOGPROBS = "logprobs"
NO_SPEAKERS = "Speakers are not distinguished: {} is not supported"

Texts = MultiDict[str, str]


@dataclass(frozen=True)
class Wanted:
    """What to transcribe, and the form of the answer.

    `format` is None if none was asked for, which is JSON.
    """

    request: TranscriptionRequest
    format: str | None
    granularities: set[str]
    stream: bool

    @property
    def with_logprobs(self) -> bool:
        return self.request.options.logprobs


def read(texts: Texts, *, translate: bool) -> Wanted:
    """Read the form. Raises InvalidRequest for a wrong field, or one that cannot be granted."""
    _reject_speakers(texts)
    name, granularities = _response_format(texts), _granularities(texts)
    stream = not translate and params.flag("stream", texts)
    if "word" in granularities and (name != "verbose_json" or stream):
        raise InvalidRequest("timestamp_granularities needs response_format verbose_json")
    model = models.find(params.text(texts, "model", missing="Missing model"))
    options = Options(
        translate=translate,
        prompt=_prompt(texts),
        word_timestamps="word" in granularities,
        temperature=_temperature(texts),
        logprobs=_logprobs(texts, name),
    )
    language = "auto"
    if not translate:
        language, among = _languages(texts)
        options = replace(options, languages=among)
    return Wanted(
        TranscriptionRequest(model, language, ["verbose_json"], options),
        name,
        granularities,
        stream,
    )


def _reject_speakers(texts: Texts) -> None:
    for field in texts:
        if field.startswith("known_speaker_"):
            raise InvalidRequest(NO_SPEAKERS.format(field))


def _response_format(texts: Texts) -> str | None:
    name = texts.get("response_format")
    if name == "diarized_json":
        raise InvalidRequest(NO_SPEAKERS.format("response_format diarized_json"))
    if name and name not in RESPONSE_FORMATS:
        raise InvalidRequest(f"response_format must be one of: {', '.join(RESPONSE_FORMATS)}")
    return name or None


def _granularities(texts: Texts) -> set[str]:
    values = set(_list(texts, "timestamp_granularities"))
    if not values <= GRANULARITIES:
        raise InvalidRequest("timestamp_granularities must be segment or word")
    return values or {"segment"}


def _logprobs(texts: Texts, response_format: str | None) -> bool:
    included = set(_list(texts, "include"))
    if not included <= {LOGPROBS}:
        raise InvalidRequest(f"include must be {LOGPROBS}")
    if included and response_format not in {None, "json"}:
        raise InvalidRequest("include needs response_format json")
    return bool(included)


def _prompt(texts: Texts) -> str:
    """Return the prompt, after the keywords. A longer one is cut at its start.

    OpenAI's model does that too: it sees the last 224 tokens.
    """
    prompt = params.optional_text(texts, "prompt") or ""
    keywords = ", ".join(params.storable(each, "keywords") for each in _list(texts, "keywords"))
    return " ".join(filter(None, (keywords, prompt)))[-MAX_PROMPT:]


def _languages(texts: Texts) -> tuple[str, str]:
    """Return the language, or auto, and the possible ones, which are separated by spaces."""
    language = languages.code_of(params.optional_text(texts, "language") or "auto")
    possible = sorted({languages.code_of(each) for each in _list(texts, "languages")})
    for each in possible:
        if each not in languages.CODES:
            raise InvalidRequest(f"Invalid language: {each}")
    if language != "auto" or not possible:
        return language, ""
    return (possible[0], "") if len(possible) == 1 else ("auto", " ".join(possible))


def _temperature(texts: Texts) -> float:
    try:
        value = float(texts.get("temperature") or 0)
    except ValueError:
        value = -1
    if not 0 <= value <= MAX_TEMPERATURE:
        raise InvalidRequest(f"temperature must be a number from 0 to {MAX_TEMPERATURE}")
    return round(value, 6)


def _list(texts: Texts, field: str) -> list[str]:
    """Return the values of a field that may be repeated, with or without brackets in its name."""
    return [*texts.getlist(f"{field}[]"), *texts.getlist(field)]
