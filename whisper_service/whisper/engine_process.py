"""The engine's own process: one model, loaded once, one piece of work after the other.

Run as `python -m whisper_service.whisper_cpp DESCRIPTOR MODEL` by engine.py. Native code can crash
on any damaged model or recording; here it takes nobody with it. The descriptor is a socket, for
the messages of protocol.py.
"""

import ctypes
import os
import queue
import socket
import sys
import threading
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import _pywhispercpp as binding
import numpy as np

from whisper_service import sandbox
from whisper_service.errors import ServiceError
from whisper_service.models import ggml
from whisper_service.sandbox import Access
from whisper_service.transcripts.transcript import Segment
from whisper_service.whisper import protocol, vad
from whisper_service.whisper.protocol import (
    Answer,
    Failed,
    FindSpeech,
    Message,
    Ready,
    Request,
    SpeechFound,
    Transcribe,
    Transcribed,
)
from whisper_service.whisper.vad import Array

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


def main() -> None:
    connection = socket.socket(fileno=int(sys.argv[1]))
    reader, writer = connection.makefile("rb"), connection.makefile("wb")
    model = Path(sys.argv[2])
    vad.load_weights()
    # All modules are there by now, and no other thread is: all that is left to open is the model.
    sandbox.restrict(Access(reads=(model,)))
    try:
        context = load(model)
    except ServiceError as error:
        _send(writer, Failed(str(error)))
        return
    _send(writer, Ready())
    requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(reader, requests), daemon=True).start()
    while True:
        request = requests.get()
        try:
            _send(writer, _answer(context, request))
        except ServiceError as error:
            _send(writer, Failed(str(error)))


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
    if _is_null(context):
        raise ServiceError("The model could not be loaded")
    return context


def _is_null(wrapper: Any) -> bool:  # noqa: ANN401
    """Return whether the binding wraps a null pointer, which it does as it wraps any other.

    Behind a Python object's head pybind11 keeps a pointer to what it wraps: a structure with the
    pointer to whisper.cpp's context. No function of whisper.cpp can be asked, for they all use it.
    """
    wrapped = ctypes.c_void_p.from_address(id(wrapper) + object.__basicsize__).value
    assert wrapped
    return ctypes.c_void_p.from_address(wrapped).value is None


def _answer(context: Any, request: Request) -> Answer:  # noqa: ANN401
    samples = np.frombuffer(request.samples, dtype="<i2")
    audio: Array = samples.astype(np.float32) / np.float32(32_768)
    if isinstance(request, FindSpeech):
        found = vad.probabilities(audio)
        return SpeechFound([round(float(value), 3) for value in found])
    audio = np.pad(audio, (0, max(0, MIN_SAMPLES - audio.size)))
    return transcribe(context, audio, request)


def transcribe(context: Any, audio: Array, decode: Transcribe) -> Transcribed:  # noqa: ANN401
    """Transcribe up to 30 seconds that end in speech.

    Where Whisper stops early, it is made to listen again from there. Raises ServiceError when
    whisper.cpp gives up.
    """
    if decode.language == "auto":
        decode = replace(decode, language=_detect_language(context, audio, decode))

    def listen(start: float) -> list[dict[str, Any]]:
        return _listen(context, audio[int(start * SAMPLE_RATE) :], decode)

    segments = to_the_end(audio.size / SAMPLE_RATE, listen)
    return Transcribed(decode.language, [Segment.from_dict(each) for each in segments])


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


def _listen(context: Any, audio: Array, decode: Transcribe) -> list[dict[str, Any]]:  # noqa: ANN401
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


def _detect_language(context: Any, audio: Array, decode: Transcribe) -> str:  # noqa: ANN401
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


def _parameters(audio: Array, decode: Transcribe, least_positions: int = 0) -> Any:  # noqa: ANN401
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
    decode: Transcribe,
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


def _receive(reader: BinaryIO, requests: "queue.SimpleQueue[Any]") -> None:
    """Pass requests on; when the service is gone, so is this process, whatever it is doing."""
    while True:
        try:
            requests.put(protocol.read(reader))
        except (EOFError, OSError):
            os._exit(0)


def _send(writer: BinaryIO, message: Message) -> None:
    writer.write(protocol.frame(message))
    writer.flush()


if __name__ == "__main__":
    main()
