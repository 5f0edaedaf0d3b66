"""The engine's process: one model, loaded once, and one request after the other.

Run as `python -m whisper_service.whisper.engine_process DESCRIPTOR MODEL` by engine.py. Native code
can crash on a damaged model or recording; here it takes nothing else with it. The descriptor is a
socket for the messages of protocol.py.
"""

import os
import queue
import socket
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from whisper_service import sandbox
from whisper_service.audio import SAMPLE_RATE
from whisper_service.errors import ServiceError
from whisper_service.models import ggml
from whisper_service.sandbox import Access
from whisper_service.whisper import decoding, ggml_devices, protocol, vad
from whisper_service.whisper.binding import address, binding
from whisper_service.whisper.protocol import (
    CERTAIN,
    Answer,
    DetectLanguage,
    Failed,
    FindSpeech,
    Message,
    Ready,
    Request,
    SpeechFound,
)
from whisper_service.whisper.vad import Array

# whisper.cpp returns nothing for less than 100 ms, and warns below one second.
MIN_SAMPLES = SAMPLE_RATE


def main() -> None:
    connection = socket.socket(fileno=int(sys.argv[1]))
    reader, writer = connection.makefile("rb"), connection.makefile("wb")
    model = Path(sys.argv[2])
    vad.load_weights()
    # All modules are imported and no other thread runs: only the model is still to be opened, and
    # what the driver of a GPU needs.
    sandbox.restrict(ggml_devices.access(model) if ggml_devices.BACKEND else Access((model,)))
    try:
        context = load(model, ggml_devices.choose() if ggml_devices.BACKEND else None)
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


def load(path: Path, gpu: int | None = None) -> Any:  # noqa: ANN401 - the binding has no types
    """Load a model, for a GPU or for the processor.

    Raises ServiceError for a file that whisper.cpp would crash on or refuses.
    """
    ggml.check(path)
    parameters = binding.whisper_context_default_params()
    parameters.use_gpu = gpu is not None
    parameters.gpu_device = gpu or 0
    # On a CPU, flash attention slows whisper.cpp's decoder down by 20 to 60 %, and its text varies
    # from run to run with windows that are no multiple of 256.
    parameters.flash_attn = False
    context = binding.whisper_init_from_file_with_params(str(path), parameters)
    if address(context) is None:
        raise ServiceError("The model could not be loaded")
    return context


def _answer(context: Any, request: Request) -> Answer:  # noqa: ANN401
    samples = np.frombuffer(request.samples, dtype="<i2")
    audio: Array = samples.astype(np.float32) / np.float32(32_768)
    if isinstance(request, FindSpeech):
        found = vad.probabilities(audio)
        return SpeechFound([round(CERTAIN * float(value)) for value in found])
    audio = np.pad(audio, (0, max(0, MIN_SAMPLES - audio.size)))
    if isinstance(request, DetectLanguage):
        return decoding.detect_language(context, audio, request.threads)
    return decoding.transcribe(context, audio, request)


def _receive(reader: BinaryIO, requests: "queue.SimpleQueue[Any]") -> None:
    """Queue requests as they come. Exit at once when the service is gone."""
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
