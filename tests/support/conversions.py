"""Upload recordings to a service, convert them, and look at the copies that come back."""

import re
import subprocess
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.containers import SECONDS
from tests.support.service import Service
from whisper_service.files import ffmpeg, media

ONSET = 0.278  # of the first word
MP3 = media.Media("audio/mpeg", "mp3", None)
MP4 = media.Media("video/mp4", "aac", "h264")


def run_ffmpeg(*arguments: str | Path) -> str:
    command = [ffmpeg.FFMPEG, "-loglevel", "error", "-y", *map(str, arguments)]
    return subprocess.run(
        command, check=True, timeout=60, text=True, stdout=subprocess.PIPE
    ).stdout.strip()


def make(path: Path, arguments: str) -> Path:
    run_ffmpeg(*arguments.split(), path)
    return path


@dataclass
class Uploaded:
    """An upload whose conversion has been tried, on disk as a download returns it."""

    row: dict[str, Any]
    path: Path
    speech: Path

    @property
    def samples(self) -> NDArray[np.float64]:
        return read(self.speech)


def upload(service: Service, source: Path) -> Uploaded:
    """Upload and convert as users and the worker do, and download the result."""
    ann = service.register()
    (answer,) = ann.upload(source)
    assert answer["status"] == {"existed": False, "uploaded": True}, answer
    before = ann.get("/file")["files"][0]
    assert (before["status"], before["content_type"]) == (
        "converting",
        media.probe(source).content_type,
    )
    assert service.convert_once()
    row = ann.get("/file")["files"][0]
    response = service.anyone.call("GET", f"/file/{row['uuid']}")
    assert response.content_type == row["content_type"]
    assert len(response.data) == row["size_bytes"]
    name = re.search(r'filename="?([^";]+)', response.headers["Content-Disposition"])
    assert name
    assert Path(name[1]).suffix in {".mp3", ".mp4"} or row["status"] == "failed"
    folder = source.parent / "download"
    folder.mkdir(exist_ok=True)
    path = folder / name[1]
    path.write_bytes(response.data)
    return Uploaded(row, path, service.storage.speech(row["uuid"]))


def check(service: Service, source: Path, taken_for: str) -> Uploaded:
    """Check what an upload is taken for, and that its copy is what such a file becomes."""
    content_type, audio, video = [*taken_for.split(), None][:3]
    assert content_type
    assert audio
    assert media.probe(source) == media.Media(content_type, audio, video)
    uploaded = upload(service, source)
    assert uploaded.row["status"] == "ready"
    wanted = MP4 if video else MP3
    assert media.probe(uploaded.path) == wanted
    assert uploaded.row["content_type"] == wanted.content_type
    assert uploaded.path.suffix == (".mp4" if video else ".mp3")
    assert uploaded.path.stem == source.stem
    # Encoders add up to a tenth of a second before the sound, and some after it.
    assert uploaded.row["duration_seconds"] == pytest.approx(SECONDS, abs=0.3)
    assert onset(uploaded.samples) == pytest.approx(ONSET, abs=0.25)
    assert onset(sound(uploaded.path)) == pytest.approx(onset(uploaded.samples), abs=0.05)
    return uploaded


def read(wav: Path) -> NDArray[np.float64]:
    with wave.open(str(wav)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64)


def sound(path: Path) -> NDArray[np.float64]:
    """Decode as a player does: each sample when its timestamp says."""
    wav = path.with_suffix(".decoded.wav")
    timed = "-map 0:a:0 -ac 1 -ar 16000 -af aresample=async=1:first_pts=0"
    run_ffmpeg("-i", path, *timed.split(), wav)
    return read(wav)


def bursts(samples: NDArray[np.float64]) -> list[float]:
    """Return the seconds at which sound starts: first, and after each second or more of silence."""
    level = np.convolve(np.abs(samples), np.ones(160) / 160, "same")
    loud = np.flatnonzero(level > level.max() * 0.1) / 16_000
    return [float(loud[0]), *map(float, loud[1:][np.diff(loud) > 1])]


def onset(samples: NDArray[np.float64]) -> float:
    return bursts(samples)[0]


def starts(path: Path) -> dict[str, float]:
    """Return the seconds at which the streams of a file start, as ffmpeg prints them."""
    command = [ffmpeg.FFMPEG, "-hide_banner", "-i", str(path)]
    said = subprocess.run(command, capture_output=True, check=False, text=True).stderr
    lines = re.findall(r"Stream #0:\d\S*: (Video|Audio)(.*)", said)
    found = [(kind.lower(), re.search(r"start ([\d.]+)", rest)) for kind, rest in lines]
    return {kind: float(start[1]) if start else 0.0 for kind, start in found}


def packets(path: Path, stream: str, *options: str) -> str:
    """Return a hash of a stream's packets, which are not decoded."""
    return run_ffmpeg("-i", path, "-map", f"0:{stream}", "-c", "copy", *options, "-f", "md5", "-")


def pictures(path: Path) -> str:
    return run_ffmpeg("-i", path, "-map", "0:V:0", "-fps_mode", "passthrough", "-f", "md5", "-")


def atoms(path: Path) -> list[bytes]:
    """List the parts of an MP4, in order."""
    data, position, names = path.read_bytes(), 0, []
    while position < len(data):
        names.append(data[position + 4 : position + 8])
        position += int.from_bytes(data[position : position + 4], "big")
    return names
