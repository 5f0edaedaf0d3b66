"""Building ggml's backend for Vulkan: for the GPUs of any vendor."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from whisper_service.errors import CommandError
from whisper_service.whisper.native.build import Workshop

# What is needed, and Debian's packages that bring it.
HEADERS = Path("/usr/include")
PACKAGES = {"vulkan/vulkan.hpp": "libvulkan-dev", "spirv/unified1/spirv.hpp": "spirv-headers"}
LOADERS = ("lib/*-linux-gnu/libvulkan.so", "lib64/libvulkan.so", "lib/libvulkan.so")
# What a shader may use, if the compiler knows it: a test for each, and the macro that says so.
FEATURES = {
    "coopmat": "GGML_VULKAN_COOPMAT_GLSLC_SUPPORT",
    "coopmat2": "GGML_VULKAN_COOPMAT2_GLSLC_SUPPORT",
    "coopmat2_decode_vector": "GGML_VULKAN_COOPMAT2_DECODE_VECTOR_GLSLC_SUPPORT",
    "integer_dot": "GGML_VULKAN_INTEGER_DOT_GLSLC_SUPPORT",
    "bfloat16": "GGML_VULKAN_BFLOAT16_GLSLC_SUPPORT",
}
OPTIONS = (
    "-O2 -std=c++17 -DNDEBUG -D_GNU_SOURCE -fPIC -w "
    "-DGGML_BACKEND_DL -DGGML_BACKEND_BUILD -DGGML_BACKEND_SHARED"
).split()
COMPILER = "glslc"


def check() -> None:
    """Raise CommandError, with the packages that bring it, if anything is missing."""
    missing = [package for header, package in PACKAGES.items() if not (HEADERS / header).exists()]
    if not shutil.which(COMPILER):
        missing.append(COMPILER)
    if not _loader():
        missing.append("libvulkan-dev")
    if missing:
        names = " ".join(sorted(set(missing)))
        raise CommandError(f"Building for Vulkan takes more packages: apt install {names}")


def build(workshop: Workshop) -> Path:
    """Build the library of the backend, and return its path. Raises CommandError."""
    backend = workshop.source / "ggml/src/ggml-vulkan"
    features = [f"-D{macro}" for macro in _features(workshop, backend)]
    files = [backend / "ggml-vulkan.cpp", *_make_shaders(workshop, backend, features)]
    includes = [workshop.source / "ggml/src", workshop.source / "ggml/include", workshop.folder]
    includes.append(_headers(workshop))
    command = workshop.compiler(*OPTIONS, *features, *(f"-I{path}" for path in includes))
    objects = workshop.compile_all(command, files)
    library = workshop.folder / "backend.so"
    linking = ["-shared", "-s", *objects, str(_loader()), "-o", str(library)]
    workshop.run([*workshop.compiler(), *linking], "The linker")
    return library


def _features(workshop: Workshop, backend: Path) -> Iterable[str]:
    for name, macro in FEATURES.items():
        test = backend / "vulkan-shaders" / "feature-tests" / f"{name}.comp"
        options = ["-fshader-stage=compute", "--target-env=vulkan1.3", str(test)]
        try:
            workshop.run([COMPILER, *options, "-o", str(workshop.folder / "feature")], name)
        except CommandError:
            continue
        yield macro


def _make_shaders(workshop: Workshop, backend: Path, features: list[str]) -> list[Path]:
    """Compile the shaders with ggml's own generator; return C++ files that hold them."""
    shaders, generator = backend / "vulkan-shaders", workshop.folder / "generator"
    source = str(shaders / "vulkan-shaders-gen.cpp")
    command = workshop.compiler("-O1", "-std=c++17", *features, source, "-o", str(generator))
    workshop.run(command, "The compiler")
    header, output = workshop.folder / "ggml-vulkan-shaders.hpp", workshop.folder / "shaders"
    output.mkdir()
    common = [str(generator), "--output-dir", str(output), "--target-hpp", str(header)]
    workshop.run(common, "The generator of shaders")
    sources = sorted(shaders.glob("*.comp"))
    made = [workshop.folder / f"{path.name}.cpp" for path in sources]

    def make(number: int) -> None:
        files = ["--source", str(sources[number]), "--target-cpp", str(made[number])]
        workshop.run([*common, "--glslc", COMPILER, *files], "The compiler of shaders")

    workshop.each(make, range(len(sources)))
    return made


def _headers(workshop: Workshop) -> Path:
    """Return a folder with Vulkan's headers alone: the compiler has its own of the C library."""
    folder = workshop.folder / "headers"
    folder.mkdir()
    for name in ("vulkan", "vk_video", "spirv"):
        (folder / name).symlink_to(HEADERS / name)
    return folder


def _loader() -> Path | None:
    """Return the library that finds the drivers."""
    return next((path for name in LOADERS for path in Path("/usr").glob(name)), None)
