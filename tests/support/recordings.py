"""Recordings of noise."""

import io
import wave
from random import Random

RATE = 16_000


def sound(random: Random, seconds: float) -> bytes:
    """Return random samples in Whisper's format: 16 kHz, mono, s16le."""
    return random.randbytes(2 * int(seconds * RATE))


def as_wav(samples: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(samples)
    return file.getvalue()
