"""An engine's process that returns "Hello world." for everything, after FAKE_SECONDS.

With FAKE_WORDS=hash it returns a hash of the samples instead, which no other chunk has. It
takes every language for Welsh, after FAKE_DETECTION_SECONDS.

It fails on recordings of certain lengths.
"""

import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from blake3 import blake3

from whisper_service.audio import FRAME_SAMPLES
from whisper_service.transcripts.transcript import Segment
from whisper_service.whisper import protocol
from whisper_service.whisper.protocol import (
    CERTAIN,
    Answer,
    DetectLanguage,
    FindSpeech,
    LanguageDetected,
    Message,
    Ready,
    Request,
    SpeechFound,
    Transcribed,
)
from whisper_service.whisper.vad import LEAD

MEMORY = 512 * 1024**2
BUSY, IDLE = "transcribing", "idle"  # the names of a process, for tests that wait for one


def rename(name: str) -> None:
    Path("/proc/self/comm").write_text(name)


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hang() -> None:
    threading.Event().wait()


def exhaust() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    taken = []
    while True:
        taken.append(bytearray(1024**2))


# By the number of samples in a recording that fits one chunk.
POISONS: dict[int, Callable[[], None]] = {12_345: crash, 12_346: hang, 12_347: exhaust}


def words_of(samples: bytes) -> str:
    """Return the hash that stands for what is said in a chunk."""
    return blake3(samples).hexdigest()[:16]


def answer(request: Request) -> Answer:
    length = len(request.samples) // 2
    if isinstance(request, FindSpeech):
        return SpeechFound([CERTAIN] * ((length - LEAD) // FRAME_SAMPLES))
    if isinstance(request, DetectLanguage):
        time.sleep(float(os.environ.get("FAKE_DETECTION_SECONDS", "0")))
        return LanguageDetected("cy", 0.75)
    rename(BUSY)
    POISONS.get(length, lambda: None)()
    time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
    rename(IDLE)
    language = "en" if request.language == "auto" else request.language
    is_hash = os.environ.get("FAKE_WORDS") == "hash"
    text = f" {words_of(request.samples)}" if is_hash else " Hello world."
    segment = Segment(0.0, length / 16_000, text, [1, 2], -0.25, 1.0, 0.0, language=language)
    return Transcribed(language, [segment])


def main() -> None:
    connection = socket.socket(fileno=int(sys.argv[1]))
    reader = connection.makefile("rb")

    def send(message: Message) -> None:
        connection.sendall(protocol.frame(message))

    send(Ready())
    while True:
        try:
            request = protocol.read(reader)
        except EOFError:
            return
        send(answer(request))


if __name__ == "__main__":
    main()
