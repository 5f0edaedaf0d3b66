"""The requests of Bazarr's Whisper provider, and what it reads of the answers.

It sends the sound as 16 kHz, mono, s16le without a header, in one part, and no credentials. It
looks at no status. Of a detection it reads two fields of JSON; of a transcription the bytes, which
it keeps if they parse as subtitles and are not empty.
"""

import wave
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import srt

TIMEOUT = (5, 120)  # to connect, and to read


def samples_of(path: Path) -> bytes:
    """Return the samples of a WAV that has what Bazarr's ffmpeg makes."""
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        return file.readframes(file.getnframes())


@dataclass
class Bazarr:
    """`endpoint` is what its user types; `video` is sent if the user wants that."""

    endpoint: str
    video: str | None = None
    session: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.endpoint = self.endpoint.rstrip("/")
        self.session.headers["User-Agent"] = "Subliminal/2.1"

    def detect(self, sound: bytes) -> tuple[str, str] | None:
        """Return a language's code and name; None if there is none or the answer is no JSON."""
        answer = self.post("/detect-language", sound, encode="false")
        try:
            found = answer.json()
        except requests.exceptions.JSONDecodeError:
            return None
        if found.get("language_code") in {None, "", "und"}:
            return None
        return found["language_code"], found["detected_language"]

    def subtitles(self, sound: bytes, language: str, task: str = "transcribe") -> bytes | None:
        """Return subtitles; None for what it would not keep."""
        query = {"task": task, "language": language, "output": "srt", "encode": "false"}
        content = self.post("/asr", sound, **query).content
        return content if _is_kept(content) else None

    def post(self, path: str, sound: bytes, **query: str) -> requests.Response:
        params: dict[str, Any] = {**query, "video_file": self.video}
        files = {"audio_file": sound}
        return self.session.post(
            f"{self.endpoint}{path}", params=params, files=files, timeout=TIMEOUT
        )


def _is_kept(content: bytes) -> bool:
    """Return whether it is a subtitle: an empty line is one, no bytes are none."""
    try:
        list(srt.parse(content.decode()))
    except srt.SRTParseError:
        return False
    return bool(content)
