"""Building ggml's backend for CUDA: for the GPUs of NVIDIA in this machine."""

import shutil
from pathlib import Path

from whisper_service.errors import CommandError
from whisper_service.whisper.native.build import Workshop

COMPILER = "nvcc"
# Flash attention is not used, and takes most of the time to compile.
OPTIONS = (
    "-O3 -std=c++17 -arch=native -use_fast_math -extended-lambda -w -DNDEBUG -D_GNU_SOURCE "
    "-DGGML_CUDA_NO_FA -DGGML_CUDA_USE_GRAPHS -DGGML_CUDA_PEER_MAX_BATCH_SIZE=128 "
    "-DGGML_BACKEND_DL -DGGML_BACKEND_BUILD -DGGML_BACKEND_SHARED -Xcompiler -fPIC"
).split()
SOURCES = ("*.cu", "template-instances/mmq*.cu", "template-instances/mmf*.cu")
LIBRARIES = ("-lcublas", "-lcuda")


def check() -> None:
    """Raise CommandError, with the packages that bring it, if anything is missing."""
    if not shutil.which(COMPILER):
        raise CommandError("Building for CUDA takes nvcc: apt install nvidia-cuda-toolkit")


def build(workshop: Workshop) -> Path:
    """Build the library of the backend, and return its path. Raises CommandError."""
    backend = workshop.source / "ggml/src/ggml-cuda"
    includes = [workshop.source / "ggml/src", workshop.source / "ggml/include", backend]
    files = [path for pattern in SOURCES for path in sorted(backend.glob(pattern))]
    command = [COMPILER, *OPTIONS, *(f"-I{path}" for path in includes)]
    objects = workshop.compile_all(command, files)
    library = workshop.folder / "backend.so"
    linking = ["-shared", *objects, *LIBRARIES, "-o", str(library)]
    workshop.run([COMPILER, *linking], "The linker")
    return library
