"""The messages between the service and the engine's process.

They carry the samples themselves, so that the engine opens no file but its model. On the wire a
message is its length in four bytes, a line of JSON, and the samples if it has any.
"""

import json
import struct
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

from whisper_service.transcripts.transcript import Segment
from whisper_service.whisper.options import Options

LENGTH = struct.Struct("!I")
CERTAIN = 255  # how a probability of 1 is sent


@dataclass(frozen=True)
class FindSpeech:
    """`samples` are s16le at 16 kHz: those to search, after the `vad.LEAD` before them."""

    samples: bytes


@dataclass(frozen=True)
class Transcribe:
    """`samples` are s16le at 16 kHz; at the seconds in `breaks` a pause was left out of them.

    `language` is an ISO 639-1 code or "auto"; with "auto", `expected` is the likely one, if any.
    """

    samples: bytes
    breaks: list[float]
    language: str
    expected: str | None
    threads: int
    beam_size: int
    options: Options


@dataclass(frozen=True)
class DetectLanguage:
    """`samples` are s16le at 16 kHz: up to 30 seconds of speech."""

    samples: bytes
    threads: int


@dataclass(frozen=True)
class Ready:
    """The model is loaded."""


@dataclass(frozen=True)
class SpeechFound:
    """The probability of speech of each frame, from 0 to `CERTAIN`."""

    probabilities: list[int]


@dataclass(frozen=True)
class Transcribed:
    """`language` is the one that was spoken, if segments have no other.

    Times count from the first sample.
    """

    language: str
    segments: list[Segment]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Transcribed":
        language = values["language"]
        segments = [
            Segment.from_dict({**segment, "language": segment.get("language") or language})
            for segment in values["segments"]
        ]
        return cls(language, segments)


@dataclass(frozen=True)
class LanguageDetected:
    """`language` is an ISO 639-1 code, the likeliest; `probability` is from 0 to 1."""

    language: str
    probability: float


@dataclass(frozen=True)
class Failed:
    """`error` is a sentence for the user."""

    error: str


Request = FindSpeech | Transcribe | DetectLanguage
Answer = SpeechFound | Transcribed | LanguageDetected
Message = Request | Answer | Ready | Failed

# Those whose fields are decoded as they are.
_KINDS: dict[str, Callable[..., Message]] = {
    kind.__name__: kind
    for kind in (FindSpeech, DetectLanguage, Ready, SpeechFound, LanguageDetected, Failed)
}


def to_bytes(message: Message) -> bytes:
    fields = asdict(message)
    samples: bytes = fields.pop("samples", b"")
    head = json.dumps({"message": type(message).__name__, **fields})
    return head.encode() + b"\n" + samples


def from_bytes(data: bytes) -> Message:
    """Decode a message. Raises KeyError, TypeError or ValueError if it is not one."""
    head, _, samples = data.partition(b"\n")
    fields = json.loads(head)
    match fields.pop("message"):
        case "FindSpeech" | "DetectLanguage" as name:
            return _KINDS[name](samples=samples, **fields)
        case "Transcribe":
            return Transcribe(samples, **{**fields, "options": Options(**fields["options"])})
        case "Transcribed":
            return Transcribed.from_dict(fields)
        case other if other in _KINDS:
            return _KINDS[other](**fields)
        case other:
            raise ValueError(f"There is no message {other!r}")


def frame(message: Message) -> bytes:
    """Return a message as it is sent, with its length before it."""
    data = to_bytes(message)
    return LENGTH.pack(len(data)) + data


def read(file: BinaryIO) -> Message:
    """Read one framed message. Raises EOFError at the end."""
    head = file.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    (size,) = LENGTH.unpack(head)
    return from_bytes(file.read(size))
