"""The GPUs that engines compute with: what `make native GPU=...` found, and how an engine uses one.

Its library is a backend of ggml's, which an engine's process loads beside the engine that was built
for the processor. What was measured when it was built is in a file next to it.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from whisper_service.config import EngineSettings
from whisper_service.errors import ServiceError
from whisper_service.whisper.native import library

logger = logging.getLogger(__name__)

KINDS = ("cuda", "vulkan")  # the first one that was built is used
# A GPU multiplies what is stored: conversions would take memory, and time to load.
AS_STORED = {"WHISPER_ENCODER_TYPE": "f16", "WHISPER_DECODER_TYPE": "f16"}


@dataclass(frozen=True)
class Device:
    """A GPU with its `number` in ggml's list, and `memory` in bytes.

    It is `speed` times as fast as the whole processor, and fastest with chunks of `chunk_seconds`.
    """

    kind: str
    number: int
    name: str
    memory: int
    speed: float
    chunk_seconds: int


def find(settings: EngineSettings) -> list[Device]:
    """Return the devices that are to be used: those that are faster, or the one that is set.

    What is built and cannot be used, or set and not built, gets a line in the log.
    """
    if "off" in {settings.gpu, settings.native}:
        return []
    backends = filter(None, map(library.find_for, KINDS))
    found = next(map(read, backends), []) if library.find() else []
    if not found and (kind := next(filter(library.was_built, KINDS), None)):
        logger.warning("The GPU waits for `make native GPU=%s`: the service has changed", kind)
    if settings.gpu == "auto":
        return [device for device in found if device.speed > 1]
    chosen = [device for device in found if device.number == int(settings.gpu)]
    if found and not chosen:
        logger.warning("There is no GPU with number %s", settings.gpu)
    return chosen


def environment(device: Device) -> dict[str, str]:
    """Return the environment variables with which an engine's process uses a device.

    Raises ServiceError when what was built is gone.
    """
    engine, backend = library.find(), library.find_for(device.kind)
    if not (engine and backend):
        raise ServiceError("The engine for the GPU is gone")
    return variables(engine, backend, device.number)


def variables(engine: Path, backend: Path, number: int) -> dict[str, str]:
    return {
        "WHISPER_LIBRARY": str(engine),
        "WHISPER_GPU_LIBRARY": str(backend),
        "WHISPER_GPU_DEVICE": str(number),
        **AS_STORED,
    }


def keep(backend: Path, devices: Iterable[Device]) -> None:
    """Write down what was measured with a backend."""
    path = backend.with_suffix(".json")
    path.write_text(json.dumps([asdict(device) for device in devices]) + "\n")
    path.chmod(0o644)


def forget(backend: Path) -> None:
    """Remove what was written down: the devices of a backend are not used any more."""
    backend.with_suffix(".json").unlink(missing_ok=True)


def read(backend: Path) -> list[Device]:
    """Return what was measured with a backend; nothing if it cannot be read."""
    with suppress(OSError, ValueError, TypeError):
        found: list[Mapping[str, object]] = json.loads(backend.with_suffix(".json").read_text())
        return [Device(**each) for each in found]  # type: ignore[arg-type]
    return []
