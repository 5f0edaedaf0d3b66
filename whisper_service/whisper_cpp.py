"""The engine's own process: one model, loaded once, one piece of work after the other.

Run as `python -m whisper_service.whisper_cpp DESCRIPTOR MODEL` by engine.py. Native code can crash
on any damaged model or recording; here it takes nobody with it. Requests and answers are JSON
objects on the socket that the descriptor is.
"""

import json
import os
import queue
import sys
import threading
import wave
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import _pywhispercpp as binding
import numpy as np

from whisper_service import ggml, vad
from whisper_service.errors import ServiceError
from whisper_service.options import Options
from whisper_service.vad import Array

SAMPLE_RATE = 16_000
# whisper.cpp answers a recording below 100 ms with nothing at all, and warns below one second.
MIN_SAMPLES = SAMPLE_RATE
# The encoder's positions: 50 for a second, 1500 for Whisper's full window of 30 seconds. What is
# left beyond the sound costs time; with a margin of 64 there were more wrong words. The products
# of vectors are fast for multiples of 64.
POSITIONS_PER_SECOND = 50
POSITIONS = 1500
POSITION_STEP = 64
POSITION_MARGIN = 128
# A chunk ends in speech. When Whisper stops before its last second, it has not heard all of it.
UNHEARD_SECONDS = 1.0
# Languages written without spaces: a word is then what a token is.
UNSPACED = {"ja", "lo", "my", "th", "yue", "zh"}
# Text that zlib shrinks by more than this says the same over and over (openai/whisper's rule).
REPETITIVE = 2.4
# Temperature, and the least number of positions: out of a loop, the full window comes first.
TRIES = ((0.0, 0), (0.0, POSITIONS), (0.4, POSITIONS), (0.8, POSITIONS))


@dataclass(frozen=True)
class Decode:
    """How to listen: the language's code or 'auto', threads, and how many beams to search."""

    language: str
    threads: int
    beam_size: int
    options: Options


def main() -> None:
    connection = Connection(int(sys.argv[1]))
    try:
        context = load(Path(sys.argv[2]))
    except ServiceError as error:
        _send(connection, {"error": str(error)})
        return
    _send(connection, {"is_multilingual": bool(binding.whisper_is_multilingual(context))})
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, requests), daemon=True).start()
    while True:
        request = requests.get()
        try:
            answer = _answer(context, request)
        except ServiceError as error:
            answer = {"error": str(error)}
        _send(connection, answer)


def load(path: Path) -> Any:  # noqa: ANN401 - the binding has no types
    """Load a model.

    Raises ServiceError for a file that whisper.cpp would crash on or does not take.
    """
    ggml.check(path)
    parameters = binding.whisper_context_default_params()
    parameters.use_gpu = False
    # Flash attention makes whisper.cpp's decoder slower on a processor, by 20 to 60 %, and its text
    # vary from run to run with windows that are no multiple of 256.
    parameters.flash_attn = False
    context = binding.whisper_init_from_file_with_params(str(path), parameters)
    if context is None:
        raise ServiceError("The model could not be loaded")
    return context


def _answer(context: Any, request: dict[str, Any]) -> dict[str, Any]:  # noqa: ANN401
    with wave.open(request["wav"], "rb") as wav:

        def read(start: int, stop: int) -> Array:
            return read_samples(wav, start, stop)

        if request["do"] == "find speech":
            found = vad.probabilities(read, request["start"], request["stop"])
            return {"probabilities": [round(float(value), 3) for value in found]}
        audio = read(request["start"], request["stop"])
    audio = np.pad(audio, (0, max(0, MIN_SAMPLES - audio.size)))
    options = Options(**request["options"])
    decode = Decode(request["language"], request["threads"], request["beam_size"], options)
    return transcribe(context, audio, decode)


def read_samples(wav: wave.Wave_read, start: int, stop: int) -> Array:
    """Read samples from -1 to 1, with silence before the recording and after it."""
    first, last = max(start, 0), min(stop, wav.getnframes())
    wav.setpos(min(first, wav.getnframes()))
    samples = np.frombuffer(wav.readframes(max(0, last - first)), dtype="<i2")
    audio = samples.astype(np.float32) / 32_768
    return np.pad(audio, (first - start, stop - first - audio.size))


def transcribe(context: Any, audio: Array, decode: Decode) -> dict[str, Any]:  # noqa: ANN401
    """Transcribe up to 30 seconds that end in speech.

    The answer holds the language that was spoken and the segments as Whisper made them, their
    times in seconds. Where Whisper stops early, it is made to listen again from there. Raises
    ServiceError when whisper.cpp gives up.
    """
    if decode.language == "auto":
        decode = replace(decode, language=_detect_language(context, audio, decode))

    def listen(start: float) -> list[dict[str, Any]]:
        return _listen(context, audio[int(start * SAMPLE_RATE) :], decode)

    segments = to_the_end(audio.size / SAMPLE_RATE, listen)
    return {"language": decode.language, "segments": segments}


def to_the_end(
    seconds: float, listen: Callable[[float], list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Listen again from where Whisper stopped, as long as that leads on.

    `listen(start)` gives segments whose times count from there.
    """
    segments: list[dict[str, Any]] = []
    heard = 0.0
    while True:
        found = listen(heard)
        segments += [_later(each, heard) for each in found]
        progress = found[-1]["end"] if found else 0.0
        heard += progress
        if progress < UNHEARD_SECONDS or seconds - heard < UNHEARD_SECONDS:
            return segments


def _later(segment: dict[str, Any], seconds: float) -> dict[str, Any]:
    moved = {**segment, "start": segment["start"] + seconds, "end": segment["end"] + seconds}
    if words := segment.get("words"):
        moved["words"] = [_later(word, seconds) for word in words]
    return moved


def _listen(context: Any, audio: Array, decode: Decode) -> list[dict[str, Any]]:  # noqa: ANN401
    """Transcribe one window.

    Text that only repeats itself is tried again, with a full window and then at higher
    temperatures, and the least repetitive is kept; its compression ratio tells.
    """
    tries: list[tuple[float, list[dict[str, Any]]]] = []
    for temperature, positions in TRIES:
        parameters = _parameters(audio, decode, positions)
        parameters.temperature = max(temperature, decode.options.temperature)
        # All fits one window. whisper.cpp would take another for the last tenths of a second,
        # which costs as much as the first and hears what nobody said.
        binding.assign_encoder_begin_callback(parameters, _once())
        _run(context, parameters, audio)
        tries.append(_segments(context, parameters.temperature, decode))
        if tries[-1][0] <= REPETITIVE:
            break
    return min(tries, key=lambda item: item[0])[1]


def _once() -> Callable[..., bool]:
    """Say yes the first time, then no."""
    answers = iter((True,))
    return lambda *_: next(answers, False)


def _detect_language(context: Any, audio: Array, decode: Decode) -> str:  # noqa: ANN401
    if not binding.whisper_is_multilingual(context):
        return "en"
    parameters = _parameters(audio, replace(decode, language="en"))
    # The number of positions is taken over when a run begins, and only then. This one begins, and
    # is called off before the encoder does anything: without it detection would hear 30 seconds.
    binding.assign_encoder_begin_callback(parameters, lambda *_: False)
    binding.whisper_full(context, parameters, audio, audio.size)
    parameters = _parameters(audio, decode)
    parameters.detect_language = True
    _run(context, parameters, audio)
    language: str = binding.whisper_lang_str(binding.whisper_full_lang_id(context))
    return language


def _run(context: Any, parameters: Any, audio: Array) -> None:  # noqa: ANN401
    if binding.whisper_full(context, parameters, audio, audio.size) != 0:
        raise ServiceError("The recording could not be transcribed")


def _parameters(audio: Array, decode: Decode, least_positions: int = 0) -> Any:  # noqa: ANN401
    """Make the decode parameters anew, for the binding keeps what an earlier job has set."""
    strategies = binding.whisper_sampling_strategy
    parameters = binding.whisper_full_default_params(
        strategies.WHISPER_SAMPLING_BEAM_SEARCH
        if decode.beam_size > 1
        else strategies.WHISPER_SAMPLING_GREEDY
    )
    if decode.beam_size > 1:
        parameters.beam_search = {"beam_size": decode.beam_size, "patience": -1.0}
    needed = audio.size / SAMPLE_RATE * POSITIONS_PER_SECOND + POSITION_MARGIN
    fitted = max(int(-(-needed // POSITION_STEP) * POSITION_STEP), least_positions)
    parameters.audio_ctx = min(fitted, POSITIONS)
    parameters.language = decode.language
    parameters.n_threads = decode.threads
    parameters.translate = decode.options.translate
    parameters.initial_prompt = decode.options.prompt
    parameters.token_timestamps = decode.options.word_timestamps
    parameters.no_context = True
    parameters.temperature_inc = 0.0  # no fallback but our own
    parameters.print_progress = False
    parameters.print_realtime = False
    parameters.print_timestamps = False
    return parameters


def _segments(
    context: Any,  # noqa: ANN401
    temperature: float,
    decode: Decode,
) -> tuple[float, list[dict[str, Any]]]:
    """Read the result, with the compression ratio of all of its text."""
    count = binding.whisper_full_n_segments(context)
    raw = [binding.whisper_full_get_segment_text(context, number) for number in range(count)]
    ratio = _compression_ratio(b"".join(raw))
    segments = [_segment(context, number, text) for number, text in enumerate(raw)]
    for segment in segments:
        tokens = segment.pop("tokens")
        segment["tokens"] = [token.id for token in tokens]
        segment["avg_logprob"] = round(sum(each.plog for each in tokens) / max(1, len(tokens)), 4)
        segment["compression_ratio"] = round(ratio, 4)
        segment["temperature"] = temperature
        if decode.options.word_timestamps:
            segment["words"] = _words(context, tokens, decode.language in UNSPACED)
    return ratio, segments


def _segment(context: Any, number: int, raw: bytes) -> dict[str, Any]:  # noqa: ANN401
    tokens = (
        binding.whisper_full_get_token_data(context, number, position)
        for position in range(binding.whisper_full_n_tokens(context, number))
    )
    return {
        "start": binding.whisper_full_get_segment_t0(context, number) / 100,
        "end": binding.whisper_full_get_segment_t1(context, number) / 100,
        "text": raw.decode(errors="replace"),
        # Identifiers from the end of text upwards are control tokens and timestamps, not words.
        "tokens": [each for each in tokens if each.id < binding.whisper_token_eot(context)],
    }


def _words(context: Any, tokens: list[Any], unspaced: bool) -> list[dict[str, Any]]:  # noqa: ANN401, FBT001
    """Put tokens together to words, which begin with a space where a script has any.

    A token may be part of a letter.
    """
    words: list[tuple[bytes, float, float]] = []
    for token in tokens:
        text = binding.whisper_token_to_bytes(context, token.id)
        begins = text.startswith(b" ") or (unspaced and words and _is_whole(words[-1][0]))
        if words and not begins:
            before, start, _ = words[-1]
            words[-1] = (before + text, start, token.t1 / 100)
        else:
            words.append((text, token.t0 / 100, token.t1 / 100))
    return [
        {"text": stripped, "start": start, "end": end}
        for text, start, end in words
        if (stripped := text.decode(errors="replace").strip())
    ]


def _is_whole(text: bytes) -> bool:
    return "\ufffd" not in text.decode(errors="replace")


def _compression_ratio(text: bytes) -> float:
    return len(text) / len(zlib.compress(text)) if text else 0.0


def _receive(connection: Connection, requests: "queue.SimpleQueue[dict[str, Any]]") -> None:
    """Pass requests on; when the service is gone, so is this process, whatever it is doing."""
    while True:
        try:
            requests.put(json.loads(connection.recv_bytes()))
        except (EOFError, OSError):
            os._exit(0)


def _send(connection: Connection, answer: dict[str, Any]) -> None:
    connection.send_bytes(json.dumps(answer).encode())


if __name__ == "__main__":
    main()
