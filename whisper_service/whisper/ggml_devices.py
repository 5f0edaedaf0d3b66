"""The GPU of an engine's process, which the environment names: the library and the device.

Run as `python -m whisper_service.whisper.ggml_devices`, it lists the GPUs with their memory.
"""

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from whisper_service.errors import ServiceError
from whisper_service.sandbox import LIBRARIES, Access

# A backend of ggml's, for the library that WHISPER_LIBRARY names.
BACKEND = os.environ.get("WHISPER_GPU_LIBRARY", "")
# Which drivers there are, what they are set to, and what they ask the kernel.
DRIVER_FOLDERS = tuple(
    map(
        Path,
        "/usr/local/cuda /usr/local/nvidia /opt/cuda /usr/share/nvidia /proc/driver/nvidia "
        "/usr/share/vulkan /etc/vulkan /usr/share/drirc.d "
        "/sys/devices /sys/class/drm /sys/dev/char /sys/bus/pci "
        "/proc/cpuinfo /proc/meminfo /proc/modules /proc/devices /proc/self".split(),
    )
)
DEVICE_FILES = ("dri/*", "nvidia*", "kfd")
# ggml-backend.h: enum ggml_backend_dev_type
GPU_TYPES = {1, 2}  # with memory of their own, and with the processor's


class Found(NamedTuple):
    """A device's name, and its memory in bytes."""

    name: str
    memory: int


def access(model: Path) -> Access:
    """Return what an engine and the driver of a GPU may open."""
    devices = tuple(path for pattern in DEVICE_FILES for path in Path("/dev").glob(pattern))
    return Access((model, Path(BACKEND), *LIBRARIES, *DRIVER_FOLDERS), devices=devices)


def choose() -> int:
    """Return the number of the device to use, which is there.

    Raises ServiceError. Without the device whisper.cpp would use the processor, and not say so.
    """
    number = int(os.environ["WHISPER_GPU_DEVICE"])
    if number >= len(load()):
        raise ServiceError(f"There is no GPU with number {number}")
    return number


def load() -> list[Found]:
    """Load the backend, and return its GPUs in the order in which whisper.cpp numbers them.

    Raises ServiceError for a backend that cannot be loaded.
    """
    functions = _declared(ctypes.CDLL(os.environ["WHISPER_LIBRARY"], mode=ctypes.RTLD_GLOBAL))
    if not functions.ggml_backend_load(BACKEND.encode()):
        raise ServiceError("The backend for the GPU cannot be loaded")
    devices = map(functions.ggml_backend_dev_get, range(functions.ggml_backend_dev_count()))
    return [
        _describe(functions, device)
        for device in devices
        if functions.ggml_backend_dev_type(device) in GPU_TYPES
    ]


def _describe(functions: Any, device: int) -> Found:  # noqa: ANN401 - a library
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    functions.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
    return Found(functions.ggml_backend_dev_description(device).decode(), total.value)


def _declared(functions: Any) -> Any:  # noqa: ANN401
    """Declare the functions of ggml-backend.h that are called here."""
    pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    for name, result, arguments in (
        ("load", pointer, [text]),
        ("dev_count", size, []),
        ("dev_get", pointer, [size]),
        ("dev_type", ctypes.c_int, [pointer]),
        ("dev_description", text, [pointer]),
        ("dev_memory", None, [pointer, pointer, pointer]),
    ):
        function = getattr(functions, f"ggml_backend_{name}")
        function.restype, function.argtypes = result, arguments
    return functions


if __name__ == "__main__":
    json.dump(load(), sys.stdout)
