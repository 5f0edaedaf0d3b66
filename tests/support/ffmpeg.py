"""Run the real ffmpeg, to make and to convert recordings."""

import subprocess
from pathlib import Path

from whisper_service.files import ffmpeg, media, transcoding


def run_ffmpeg(*arguments: str | Path) -> None:
    command = [ffmpeg.FFMPEG, "-loglevel", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, timeout=60)


def quiet_flac(path: Path, seconds: int, *, claimed_seconds: int | None = None) -> Path:
    """Write a FLAC of silence, half a byte per second, whose header claims a length."""
    silence = f"anullsrc=channel_layout=mono:sample_rate=1000:duration={seconds}"
    run_ffmpeg("-f", "lavfi", "-i", silence, "-frame_size", "65535", path)
    content = bytearray(path.read_bytes())
    # 36 bits of the first block, STREAMINFO (RFC 9639, 8.2).
    samples = 1000 * (seconds if claimed_seconds is None else claimed_seconds)
    content[21:26] = (int.from_bytes(content[21:26]) & ~(2**36 - 1) | samples).to_bytes(5)
    path.write_bytes(content)
    return path


def convert(source: Path, folder: Path, seconds: int = 60) -> tuple[media.Media, int]:
    kind = media.probe(source)
    samples = transcoding.extract(source, kind, folder / "speech.wav", seconds, lambda: True)
    transcoding.encode(source, kind, folder / "converted", seconds, lambda: True)
    return kind, samples
