"""Decoding with whisper.cpp: from samples to segments, and out of repetition loops."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from whisper_service.audio import SAMPLE_RATE, seconds_of
from whisper_service.errors import ServiceError
from whisper_service.transcripts.transcript import Segment
from whisper_service.whisper import language_detection
from whisper_service.whisper.binding import binding
from whisper_service.whisper.language_detection import in_their_languages, likelier, likeliest
from whisper_service.whisper.mel import log_mel
from whisper_service.whisper.options import Options
from whisper_service.whisper.protocol import LanguageDetected, Transcribe, Transcribed
from whisper_service.whisper.segments import needs_words, read_segments
from whisper_service.whisper.vad import Array

# The encoder's positions: 50 for a second, 1500 for Whisper's full window of 30 seconds. Positions
# beyond the audio cost time, but a margin of 64 made more errors. Products of vectors are fast for
# multiples of 64.
POSITIONS_PER_SECOND = 50
POSITIONS = 1500
FRAMES_PER_POSITION = 2
POSITION_STEP = 64
POSITION_MARGIN = 128
# A chunk ends in speech. If Whisper stops before its last second, it has skipped some of it.
SKIPPED_SECONDS = 1.0
# What is less likely is no speech: a word that Whisper puts into music has -3.5 here,
# speech in a loud place about -1.
LEAST_LOGPROB = -2.0
# The probability of another language than the expected one from which on both are tried.
OTHER_LANGUAGE = 0.5
# Text that zlib shrinks by more than this repeats itself (openai/whisper's threshold).
REPETITIVE = 2.4
# Temperature and minimum positions of each attempt: the full window alone ends most loops.
ATTEMPTS = ((0.0, 0), (0.0, POSITIONS), (0.4, POSITIONS), (0.8, POSITIONS))


def transcribe(context: Any, audio: Array, decode: Transcribe) -> Transcribed:  # noqa: ANN401
    """Transcribe up to 30 seconds that end in speech.

    Where Whisper stops early, decoding starts again from there. With the language "auto" what does
    not fit the expected one is in its own. Raises ServiceError when whisper.cpp fails.
    """

    def decode_in(language: str, start: float, end: float) -> list[Segment]:
        breaks = [each - start for each in decode.breaks]
        part = audio[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)]
        return _decode(context, part, replace(decode, language=language, breaks=breaks))

    seconds = seconds_of(audio.size)
    if decode.language != "auto":
        return Transcribed(decode.language, decode_in(decode.language, 0, seconds))
    if not binding.whisper_is_multilingual(context):
        return Transcribed("en", decode_in("en", 0, seconds))

    def detect(start: float, end: float) -> str:
        part = audio[int(start * SAMPLE_RATE) : int(end * SAMPLE_RATE)]
        return _detect_language(context, part, decode)

    language = decode.expected or detect(0, seconds)
    segments = decode_in(language, 0, seconds)
    if decode.expected:
        found = language_detection.probabilities(context, decode.threads)
        likely = likeliest(found, decode.options.languages)
        if likely != language and found[likely] >= OTHER_LANGUAGE:
            segments = likelier(segments, decode_in(likely, 0, seconds))
    segments = in_their_languages(segments, detect, decode_in)
    return Transcribed(segments[0].language if segments else language, segments)


def detect_language(context: Any, audio: Array, threads: int) -> LanguageDetected:  # noqa: ANN401
    """Return the language of up to 30 seconds of speech; English with a model that knows no other.

    Raises ServiceError when whisper.cpp fails.
    """
    if not binding.whisper_is_multilingual(context):
        return LanguageDetected("en", 1.0)
    _encode(context, audio, Transcribe(b"", [], "auto", None, threads, 1, Options()))
    found = language_detection.probabilities(context, threads)
    language = likeliest(found, "")
    return LanguageDetected(language, found[language])


def _decode(context: Any, audio: Array, decode: Transcribe) -> list[Segment]:  # noqa: ANN401
    """Decode samples in the language that is given, to their end."""

    def decode_from(start: float) -> list[dict[str, Any]]:
        rest = replace(decode, breaks=[each - start for each in decode.breaks])
        return _decode_window(context, audio[int(start * SAMPLE_RATE) :], rest)

    found = decode_to_end(seconds_of(audio.size), decode_from)
    return [
        Segment.from_dict({**each, "language": decode.language})
        for each in found
        if each["avg_logprob"] >= LEAST_LOGPROB
    ]


def decode_to_end(
    seconds: float, decode_from: Callable[[float], list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Decode again from where Whisper stopped, as long as that makes progress.

    `decode_from(start)` returns segments whose times count from there.
    """
    segments: list[dict[str, Any]] = []
    done = 0.0
    while True:
        found = decode_from(done)
        segments += [_shifted(each, done) for each in found]
        progress = found[-1]["end"] if found else 0.0
        done += progress
        if progress < SKIPPED_SECONDS or seconds - done < SKIPPED_SECONDS:
            return segments


def _shifted(segment: dict[str, Any], seconds: float) -> dict[str, Any]:
    moved = {**segment, "start": segment["start"] + seconds, "end": segment["end"] + seconds}
    if words := segment.get("words"):
        moved["words"] = [_shifted(word, seconds) for word in words]
    return moved


def _decode_window(context: Any, audio: Array, decode: Transcribe) -> list[dict[str, Any]]:  # noqa: ANN401
    """Transcribe one window.

    Text that only repeats itself is tried again, with a full window and then at higher
    temperatures, and the least repetitive is kept; its compression ratio tells.
    """
    tries: list[tuple[float, list[dict[str, Any]]]] = []
    for temperature, positions in ATTEMPTS:
        parameters = _parameters(audio, decode, positions)
        parameters.temperature = max(temperature, decode.options.temperature)
        # All fits one window. whisper.cpp would take another for the last tenths of a second,
        # which costs as much as the first and invents text.
        binding.assign_encoder_begin_callback(parameters, _once())
        _run(context, parameters, audio)
        tries.append(read_segments(context, parameters.temperature, decode))
        if tries[-1][0] <= REPETITIVE:
            break
    return min(tries, key=lambda item: item[0])[1]


def _once() -> Callable[..., bool]:
    """Return a callback that returns True once, then False."""
    answers = iter((True,))
    return lambda *_: next(answers, False)


def _detect_language(context: Any, audio: Array, decode: Transcribe) -> str:  # noqa: ANN401
    _encode(context, audio, decode)
    if decode.options.languages:
        found = language_detection.probabilities(context, decode.threads)
        return likeliest(found, decode.options.languages)
    language: str = binding.whisper_lang_str(binding.whisper_full_lang_id(context))
    return language


def _encode(context: Any, audio: Array, decode: Transcribe) -> None:  # noqa: ANN401
    """Encode samples, and let whisper.cpp detect their language."""
    parameters = _parameters(audio, replace(decode, language="en"))
    # audio_ctx takes effect when a run begins, and only then. This run begins and is aborted before
    # the encoder does anything: without it, detection would process 30 seconds.
    binding.assign_encoder_begin_callback(parameters, lambda *_: False)
    binding.whisper_full(context, parameters, audio, audio.size)
    parameters = _parameters(audio, decode)
    parameters.detect_language = True
    _run(context, parameters, audio)


def _run(context: Any, parameters: Any, audio: Array) -> None:  # noqa: ANN401
    # Without samples whisper.cpp takes the spectrogram that it is given. Times of words are found
    # in the samples.
    if not parameters.token_timestamps:
        bands = binding.whisper_model_n_mels(context)
        frames = FRAMES_PER_POSITION * parameters.audio_ctx
        binding.whisper_set_mel(context, log_mel(audio, bands, frames), frames, bands)
        parameters.duration_ms = int(1000 * seconds_of(audio.size))
        audio = audio[:0]
    if binding.whisper_full(context, parameters, audio, audio.size) != 0:
        raise ServiceError("The recording could not be transcribed")


def _parameters(audio: Array, decode: Transcribe, least_positions: int = 0) -> Any:  # noqa: ANN401
    """Return new decoding parameters, since the binding keeps what an earlier job has set."""
    strategies = binding.whisper_sampling_strategy
    parameters = binding.whisper_full_default_params(
        strategies.WHISPER_SAMPLING_BEAM_SEARCH
        if decode.beam_size > 1
        else strategies.WHISPER_SAMPLING_GREEDY
    )
    if decode.beam_size > 1:
        parameters.beam_search = {"beam_size": decode.beam_size, "patience": -1.0}
    needed = seconds_of(audio.size) * POSITIONS_PER_SECOND + POSITION_MARGIN
    fitted = max(int(-(-needed // POSITION_STEP) * POSITION_STEP), least_positions)
    parameters.audio_ctx = min(fitted, POSITIONS)
    parameters.language = decode.language
    parameters.n_threads = decode.threads
    parameters.translate = decode.options.translate
    parameters.initial_prompt = decode.options.prompt
    parameters.token_timestamps = needs_words(decode)
    parameters.suppress_nst = True
    parameters.no_context = True
    parameters.temperature_inc = 0.0  # no fallback but our own
    parameters.print_progress = False
    parameters.print_realtime = False
    parameters.print_timestamps = False
    return parameters
