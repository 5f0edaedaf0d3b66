"""The engine that was built for this machine's processor: a shared library, and where it is kept.

It takes the place of the one in the wheel of pywhispercpp: the dynamic linker knows it by the same
name. Its file's name says from what it was built, for which processor, and the hash of its content,
so that one that is truncated, altered, or built from something else is never loaded.
"""

import os
import platform
import re
from contextlib import suppress
from functools import cache, lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from blake3 import blake3

from whisper_service.config import EngineSettings

PACKAGE = "pywhispercpp"
PATCHES = Path(__file__).with_name("patches")
# Where an image or a package may bring libraries; the cache comes first.
SHIPPED = Path(__file__).with_name("shipped")
CPU_INFO = Path("/proc/cpuinfo")
MOST_KEPT = 12
OLDEST_GLIBC = (2, 28)
# What the levels of x86-64 require (x86-64 psABI, "Micro-Architecture Levels"), as Linux names it.
LEVELS = {
    "x86-64-v4": set("avx512f avx512bw avx512cd avx512dq avx512vl avx2 bmi1 bmi2 f16c fma".split()),
    "x86-64-v3": set("avx avx2 bmi1 bmi2 f16c fma abm movbe".split()),
}


def cache_folder() -> Path:
    """Return the folder for libraries in the user's cache (XDG Base Directory Specification).

    It is a relative path for a user without a home folder.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 - Path's raises
    return Path(home) / "whisper-service"


def environment(settings: EngineSettings) -> dict[str, str]:
    """Return the environment variables with which an engine's process uses the library, if any."""
    library = find() if settings.native == "auto" else None
    if library is None:
        return {}
    variables = {"WHISPER_LIBRARY": str(library)}
    if settings.weights == "as stored":
        variables |= {"WHISPER_ENCODER_TYPE": "f16", "WHISPER_DECODER_TYPE": "f16"}
    return variables


def find() -> Path | None:
    """Return the library that fits this machine best; None without one."""
    if why_not():
        return None
    found = (find_for(name) for name in (processor(), *levels()))
    return next((path for path in found if path), None)


def find_for(name: str) -> Path | None:
    """Return the library that was built for a processor or level; None without one."""
    for folder in (cache_folder(), SHIPPED):
        with suppress(OSError):  # as for a home folder that is hidden from the service
            for path in sorted(folder.glob(f"{stem(name)}-*.so")):
                if _is_intact(path):
                    return path
    return None


def was_built(name: str) -> bool:
    """Return whether a library for a processor was built here, of whatever version."""
    return any(cache_folder().glob(f"whisper-*-{name}-*.so"))


@cache
def why_not() -> str | None:
    """Return why no library can be built or used on this machine, or None if one can."""
    libc, version = platform.libc_ver()
    if libc != "glibc" or tuple(map(int, version.split(".")[:2])) < OLDEST_GLIBC:
        return "it takes Linux with glibc 2.28 or newer"
    if platform.machine() not in {"x86_64", "aarch64"} or not features():
        return f"the processor ({platform.machine()}) is unknown"
    if not cache_folder().is_absolute():
        return "this user has no home folder to keep it in; XDG_CACHE_HOME names another one"
    if not replaced_name():
        return f"{PACKAGE} was not installed from its wheel"
    return None


def place(library: Path, name: str) -> Path:
    """Put a library for a processor into the cache, and remove the oldest there."""
    folder = cache_folder()
    library.chmod(0o644)
    target = folder / f"{stem(name)}-{_digest(library)}.so"
    library.replace(target)
    # Services of other versions use the same cache.
    kept = sorted(folder.glob("whisper-*"), key=lambda path: path.stat().st_mtime)
    for old in kept[:-MOST_KEPT]:
        old.unlink(missing_ok=True)
    return target


def rejection(name: str) -> Path:
    """Return the file that says why a library for a processor was built and not used."""
    return cache_folder() / f"{stem(name)}.rejected"


def stem(processor_name: str) -> str:
    """Return how the names of files for a processor begin."""
    return f"whisper-{_version(processor_name)}-{processor_name}"


@cache
def processor() -> str:
    """Return a name of this processor: the same for those with the same features."""
    return "native-" + blake3(" ".join(sorted(features())).encode()).hexdigest(8)


def levels() -> list[str]:
    """Return the levels of x86-64 that this processor reaches, the highest first."""
    return [level for level, needed in LEVELS.items() if needed <= features()]


@cache
def features() -> frozenset[str]:
    """Return the processor's features by Linux's names; none if they cannot be read."""
    try:
        text = CPU_INFO.read_text()
    except OSError:
        return frozenset()
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()


@cache
def replaced_name() -> str:
    """Return the file name of whisper.cpp in the installed wheel, '' if there is none."""
    spec = find_spec("_pywhispercpp")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    found = sorted((folder / f"{PACKAGE}.libs").glob("libwhisper-*.so*"))
    return found[0].name if found else ""


@cache
def _version(name: str) -> str:
    """Return a hash of everything that a library is built from, besides the processor.

    A backend for GPUs has a module of its name.
    """
    parts = [metadata.version(PACKAGE), replaced_name()]
    modules = (Path(__file__).with_name(f"{module}.py") for module in ("build", name))
    files = [*sorted(PATCHES.glob("*")), *filter(Path.exists, modules)]
    digest = blake3("\n".join(parts).encode())
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest(6)


def _is_intact(path: Path) -> bool:
    """Return whether nobody else could have written a file, and its content is what it was."""
    try:
        status = path.stat()
        digest = _cached_digest(path, status.st_size, status.st_mtime_ns)
    except OSError:
        return False
    is_private = status.st_uid in {0, os.geteuid()} and not status.st_mode & 0o022
    return is_private and path.stem.endswith(f"-{digest}")


@lru_cache(maxsize=16)
def _cached_digest(path: Path, _size: int, _modified: int) -> str:
    return _digest(path)


def _digest(path: Path) -> str:
    return blake3(path.read_bytes()).hexdigest(16)
