"""The engine's own process: one model, loaded once, one recording after the other.

Run as `python -m whisper_service.whisper_cpp DESCRIPTOR MODEL THREADS` by engine.py. Native code
can crash on any damaged model or recording; here it takes nobody with it. Requests and answers
are JSON objects on the socket that the descriptor is.
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
from numpy.typing import NDArray

from whisper_service import ggml
from whisper_service.errors import ServiceError

SAMPLE_RATE = 16_000
# whisper.cpp answers a recording below 100 ms with nothing at all, and warns below one second.
MIN_SAMPLES = SAMPLE_RATE


def main() -> None:
    connection = Connection(int(sys.argv[1]))
    try:
        context = load(Path(sys.argv[2]))
    except ServiceError as error:
        _send(connection, {"error": str(error)})
        return
    _send(connection, {"loaded": True})
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, requests), daemon=True).start()
    while True:
        request = requests.get()
        try:
            answer = transcribe(context, request["wav"], request["language"], int(sys.argv[3]))
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


def transcribe(
    context: Any,  # noqa: ANN401
    wav: str,
    language: str,
    threads: int,
) -> dict[str, Any]:
    """Transcribe a 16 kHz mono WAV, given the language's code or 'auto'.

    The answer holds the text, the language that was spoken, and the segments as Whisper made
    them, their times in seconds. Raises ServiceError when whisper.cpp gives up.
    """
    audio = read(wav)
    if language == "auto" and not binding.whisper_is_multilingual(context):
        language = "en"
    parameters = _parameters(language, threads)
    if binding.whisper_full(context, parameters, audio, audio.size) != 0:
        raise ServiceError("The recording could not be transcribed")
    count = binding.whisper_full_n_segments(context)
    raw = [binding.whisper_full_get_segment_text(context, number) for number in range(count)]
    return {
        "text": b"".join(raw).decode(errors="replace").strip(),
        "language": binding.whisper_lang_str(binding.whisper_full_lang_id(context)),
        "segments": [_segment(context, number, text) for number, text in enumerate(raw)],
    }


def read(wav: str) -> NDArray[np.float32]:
    """Read the samples, from -1 to 1, with silence after them where there are too few."""
    with wave.open(wav, "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    audio = samples.astype(np.float32) / 32_768
    return np.pad(audio, (0, max(0, MIN_SAMPLES - audio.size)))


def _parameters(language: str, threads: int) -> Any:  # noqa: ANN401
    """Make the decode parameters anew, for the binding keeps what an earlier job has set."""
    parameters = binding.whisper_full_default_params(
        binding.whisper_sampling_strategy.WHISPER_SAMPLING_GREEDY
    )
    parameters.language = language
    parameters.n_threads = threads
    parameters.no_context = True
    parameters.print_progress = False
    parameters.print_realtime = False
    parameters.print_timestamps = False
    return parameters


def _segment(context: Any, number: int, raw: bytes) -> dict[str, Any]:  # noqa: ANN401
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
        "compression_ratio": round(len(raw) / len(zlib.compress(raw)), 4),
        "temperature": 0.0,
    }


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
