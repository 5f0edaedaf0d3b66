"""The Whisper models that can be asked for: every readable ggml file in the models folder."""

from dataclasses import dataclass
from pathlib import Path

from whisper_service.errors import NotFound
from whisper_service.models import ggml


@dataclass(frozen=True)
class ModelFile:
    """A model on disk. `size` is in bytes; `version` tells it from others that had its name."""

    name: str
    path: Path
    size: int
    version: str
    is_english_only: bool


def available(folder: Path) -> list[ModelFile]:
    """List the models by name, as the folder is now. What is not a ggml file is passed over."""
    found = []
    for path in sorted(folder.glob("*.bin")):
        try:
            english = ggml.read_header(path).is_english_only
            status = path.stat()
            version = f"{status.st_size}-{status.st_mtime_ns}"
            found.append(ModelFile(path.stem, path, status.st_size, version, english))
        except (ggml.ModelFileError, OSError):
            continue
    return found


def find(folder: Path, name: str) -> ModelFile:
    """Find a model by its name. Raises NotFound when there is none."""
    for model in available(folder):
        if model.name == name:
            return model
    raise NotFound(f"Model not found: {name}")
