"""Samples that are sent without a header, which become a WAV like any other."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager

from whisper_service.audio import SAMPLE_RATE
from whisper_service.errors import InvalidRequest
from whisper_service.files import uploads
from whisper_service.files.quota import BYTES_PER_SAMPLE, WAV_HEADER_BYTES
from whisper_service.files.storage import IncomingFile, Storage

PIECE_BYTES = 1024**2
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_PCM, _CHANNELS = 1, 1


@contextmanager
def as_wav(samples: IncomingFile, storage: Storage, max_seconds: int) -> Iterator[IncomingFile]:
    """Copy s16le samples (16 kHz, mono) into a WAV. On exit it is removed unless it was moved.

    Raises RejectedFile or InvalidRequest for samples that are none or too many, StorageFull.
    """
    _check(samples, max_seconds)
    wav = storage.receive(samples.max_bytes + WAV_HEADER_BYTES)
    try:
        wav.write(_header(samples.size))
        with samples.path.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                wav.write(piece)
        wav.close()
        yield wav
    finally:
        wav.discard()


def _check(samples: IncomingFile, max_seconds: int) -> None:
    uploads.reject_bad_size(samples)
    if samples.size % BYTES_PER_SAMPLE:
        raise InvalidRequest("Samples have two bytes each, but their number of bytes is odd")
    if samples.size > max_seconds * SAMPLE_RATE * BYTES_PER_SAMPLE:
        raise InvalidRequest(f"The recording is longer than {max_seconds} seconds")


def _header(size: int) -> bytes:
    """Return the header of a WAV with `size` bytes of samples, which is below its limit of 4 GiB.

    So long are 37 hours, and no configuration allows a recording of more than 36.
    """
    rate, frame = SAMPLE_RATE, BYTES_PER_SAMPLE * _CHANNELS
    kind = (16, _PCM, _CHANNELS, rate, rate * frame, frame, 8 * BYTES_PER_SAMPLE)
    riff = size + WAV_HEADER_BYTES - 8
    return _HEADER.pack(b"RIFF", riff, b"WAVE", b"fmt ", *kind, b"data", size)
