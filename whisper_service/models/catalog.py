"""The Whisper models that can be requested: every readable ggml file in the models folder."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from whisper_service.errors import CommandError, NotFound
from whisper_service.models import ggml


@dataclass(frozen=True)
class ModelFile:
    """A model on disk. `size` is in bytes; `version` differs for each file under the same name."""

    name: str
    path: Path
    size: int
    version: str
    is_english_only: bool


def available(folder: Path) -> list[ModelFile]:
    """Return the models that are in the folder now, by name. Other files are ignored."""
    return [model for path in sorted(folder.glob("*.bin")) if (model := _describe(path))]


def find(folder: Path, name: str) -> ModelFile:
    """Return a model by its name. Raises NotFound when there is none."""
    for path in folder.glob("*.bin"):  # the name may come from a user, so it makes no path
        if path.stem == name and (model := _describe(path)):
            return model
    raise NotFound(f"Model not found: {name}")


def choose(folder: Path, preferred: str) -> ModelFile:
    """Return the model of this name, or else the smallest one. Raises CommandError without any."""
    models = available(folder)
    if not models:
        raise CommandError("There is no model yet; run make model NAME=ggml-base")
    return min(models, key=lambda model: (model.name != preferred, model.size))


def _describe(path: Path) -> ModelFile | None:
    try:
        status = path.stat()
        size, modified = status.st_size, status.st_mtime_ns
        is_english_only = _is_english_only(path, size, modified)
    except (ggml.ModelFileError, OSError):
        return None
    return ModelFile(path.stem, path, size, f"{size}-{modified}", is_english_only)


@lru_cache(maxsize=256)
def _is_english_only(path: Path, _size: int, _modified: int) -> bool:
    """Read it from the header, once for each version of the file."""
    return ggml.read_header(path).is_english_only
