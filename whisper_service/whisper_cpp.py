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
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import _pywhispercpp as binding
import numpy as np

from whisper_service import ggml, vad
from whisper_service.errors import ServiceError
from whisper_service.vad import Array

SAMPLE_RATE = 16_000
# whisper.cpp answers a recording below 100 ms with nothing at all, and warns below one second.
MIN_SAMPLES = SAMPLE_RATE
# The encoder's positions: 50 for a second, 1500 for Whisper's full window of 30 seconds. With flash
# attention a number that is no multiple of 256 gives text that varies from run to run, and with 256
# alone tiny.en fell into a loop in a plain sentence of 3 s.
POSITIONS_PER_SECOND = 50
POSITIONS = 1500
LEAST_POSITIONS = 512
POSITION_STEP = 256
POSITION_MARGIN = 64
# Text that zlib shrinks by more than this says the same over and over (openai/whisper's rule).
REPETITIVE = 2.4
# Temperature, and the least number of positions: out of a loop, the full window comes first.
TRIES = ((0.0, LEAST_POSITIONS), (0.0, POSITIONS), (0.4, POSITIONS), (0.8, POSITIONS))


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
    parameters.flash_attn = True
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
    return transcribe(context, audio, request["language"], request["threads"])


def read_samples(wav: wave.Wave_read, start: int, stop: int) -> Array:
    """Read samples from -1 to 1, with silence before the recording and after it."""
    first, last = max(start, 0), min(stop, wav.getnframes())
    wav.setpos(min(first, wav.getnframes()))
    samples = np.frombuffer(wav.readframes(max(0, last - first)), dtype="<i2")
    audio = samples.astype(np.float32) / 32_768
    return np.pad(audio, (first - start, stop - first - audio.size))


def transcribe(context: Any, audio: Array, language: str, threads: int) -> dict[str, Any]:  # noqa: ANN401
    """Transcribe up to 30 seconds, given the language's code or 'auto'.

    The answer holds the language that was spoken and the segments as Whisper made them, their
    times in seconds. Text that only repeats itself is tried again, with a full window and then at
    higher temperatures, and the least repetitive is kept; its compression ratio tells. Raises
    ServiceError when whisper.cpp gives up.
    """
    if language == "auto":
        language = _detect_language(context, audio, threads)
    tries: list[tuple[float, list[dict[str, Any]]]] = []
    for temperature, positions in TRIES:
        parameters = _parameters(audio, language, threads, positions)
        parameters.temperature = temperature
        _run(context, parameters, audio)
        tries.append(_segments(context, temperature))
        if tries[-1][0] <= REPETITIVE:
            break
    return {"language": language, "segments": min(tries, key=lambda item: item[0])[1]}


def _detect_language(context: Any, audio: Array, threads: int) -> str:  # noqa: ANN401
    if not binding.whisper_is_multilingual(context):
        return "en"
    parameters = _parameters(audio, "en", threads)
    # The number of positions is taken over when a run begins, and only then. This one begins, and
    # is called off before the encoder does anything: without it detection would hear 30 seconds.
    binding.assign_encoder_begin_callback(parameters, lambda *_: False)
    binding.whisper_full(context, parameters, audio, audio.size)
    parameters = _parameters(audio, "auto", threads)
    parameters.detect_language = True
    _run(context, parameters, audio)
    language: str = binding.whisper_lang_str(binding.whisper_full_lang_id(context))
    return language


def _run(context: Any, parameters: Any, audio: Array) -> None:  # noqa: ANN401
    if binding.whisper_full(context, parameters, audio, audio.size) != 0:
        raise ServiceError("The recording could not be transcribed")


def _parameters(
    audio: Array, language: str, threads: int, least_positions: int = LEAST_POSITIONS
) -> Any:  # noqa: ANN401
    """Make the decode parameters anew, for the binding keeps what an earlier job has set."""
    parameters = binding.whisper_full_default_params(
        binding.whisper_sampling_strategy.WHISPER_SAMPLING_GREEDY
    )
    needed = audio.size / SAMPLE_RATE * POSITIONS_PER_SECOND + POSITION_MARGIN
    fitted = max(int(-(-needed // POSITION_STEP) * POSITION_STEP), least_positions)
    parameters.audio_ctx = min(fitted, POSITIONS)
    parameters.language = language
    parameters.n_threads = threads
    parameters.no_context = True
    parameters.temperature_inc = 0.0  # no fallback but our own
    parameters.print_progress = False
    parameters.print_realtime = False
    parameters.print_timestamps = False
    return parameters


def _segments(context: Any, temperature: float) -> tuple[float, list[dict[str, Any]]]:  # noqa: ANN401
    """Read the result, with the compression ratio of all of its text."""
    count = binding.whisper_full_n_segments(context)
    raw = [binding.whisper_full_get_segment_text(context, number) for number in range(count)]
    ratio = _compression_ratio(b"".join(raw))
    return ratio, [
        _segment(context, number, text, temperature, ratio) for number, text in enumerate(raw)
    ]


def _segment(
    context: Any,  # noqa: ANN401
    number: int,
    raw: bytes,
    temperature: float,
    ratio: float,
) -> dict[str, Any]:
    tokens = [
        binding.whisper_full_get_token_data(context, number, position)
        for position in range(binding.whisper_full_n_tokens(context, number))
    ]
    # Identifiers from the end of text upwards are control tokens and timestamps, not words.
    words = [token for token in tokens if token.id < binding.whisper_token_eot(context)]
    return {
        "start": binding.whisper_full_get_segment_t0(context, number) / 100,
        "end": binding.whisper_full_get_segment_t1(context, number) / 100,
        "text": raw.decode(errors="replace"),
        "tokens": [token.id for token in words],
        "avg_logprob": round(sum(token.plog for token in words) / max(1, len(words)), 4),
        "compression_ratio": round(ratio, 4),
        "temperature": temperature,
    }


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
