"""`make native`: replace the prebuilt whisper.cpp by one built for this machine's processor.

The new build is tested beside the installed one, and replaces it only if it transcribes the same
words in less time. A working engine stays installed on any error or interruption.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from importlib import metadata
from pathlib import Path

from whisper_service.commands.demo import RECORDING
from whisper_service.config import Config
from whisper_service.errors import CommandError, ServiceError
from whisper_service.files import transcoding
from whisper_service.jobs.run import TRANSCRIBE, Task
from whisper_service.models import catalog, fetch
from whisper_service.models.part_file import say
from whisper_service.whisper.chunking import Chunk
from whisper_service.whisper.engine import Engine, EngineCrashed
from whisper_service.whisper.protocol import Transcribed

PACKAGE = "pywhispercpp"
ROOT = Path(__file__).parents[2]
BUILD_TOOLS = ROOT / "requirements-native.txt"
ROUNDS = 5
SECONDS = 300

# GGML_LLAMAFILE brings fast float16 matrix products, which the prebuilt engine lacks.
# ggml multiplies vectors in steps of 128 where it sees AVX512-FP16, but a head is 64 wide: with it
# hidden, the decoder is up to 1.7 times as fast.
_RPATH = "@loader_path" if sys.platform == "darwin" else "$ORIGIN"
_CMAKE_ARGS = (
    "-DGGML_NATIVE=ON -DGGML_LLAMAFILE=ON "
    "-DCMAKE_C_FLAGS=-U__AVX512FP16__ -DCMAKE_CXX_FLAGS=-U__AVX512FP16__ "
    f"-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON -DCMAKE_INSTALL_RPATH={_RPATH}"
)
# The package's setup.py makes a CMake option of every environment variable, so few are passed on.
_PASSED_ON = re.compile(r"PATH|HOME|CC|CXX|SDKROOT|SSL_CERT_FILE|PIP_.*|(?i:.*_proxy)")


def run(settings: Config) -> None:
    """Build the engine for this machine, and install it if it is faster.

    Raises CommandError when the prebuilt one stays or had to be reinstalled.
    """
    if sys.prefix == sys.base_prefix:
        raise CommandError("The engine is only replaced in a virtual environment: run make native")
    model = _smallest_model(settings)
    if is_native():
        _confirm(model)
        say("The engine is already built for this machine")
        return
    _check_tools()
    with tempfile.TemporaryDirectory() as folder:
        say("Building whisper.cpp for this machine; this takes about two minutes")
        wheel = _build(Path(folder))
        say(f"Comparing it with the prebuilt one, on {model.name}")
        aside = str(Path(folder) / "aside")
        _pip("install", "--no-index", "--no-deps", "--target", aside, str(wheel))
        factor = _measure_gain(model, aside)
        _install("--no-index", str(wheel))
    _confirm(model)
    say(f"Built for this machine, the engine is {factor:.2f} times as fast; restart the service to")
    say(f"use it. Run make native again after an update of {PACKAGE} in requirements.txt, which")
    say("installs the prebuilt engine.")


def _check_tools() -> None:
    compilers = os.environ.get("CXX", ""), "c++", "g++", "clang++"
    has_headers = Path(sysconfig.get_path("include"), "Python.h").is_file()
    if not (has_headers and any(shutil.which(name) for name in compilers)):
        raise CommandError(
            "A C++ compiler and Python's headers are needed; on Debian: apt install g++ python3-dev"
        )


def _confirm(model: Path) -> None:
    """Test the installed engine; reinstall the prebuilt one if it fails."""
    engine = Engine()
    try:
        _transcribe(engine, model)
    except (EngineCrashed, ServiceError):
        with tempfile.TemporaryDirectory() as folder:
            _install("--only-binary", PACKAGE, *_pinned(Path(folder)))
        raise CommandError(
            "The native engine does not work; the prebuilt one is installed again"
        ) from None
    finally:
        engine.close()


def is_native() -> bool:
    """Return whether the package was installed from a file, not from the requirements."""
    try:
        return metadata.distribution(PACKAGE).read_text("direct_url.json") is not None
    except metadata.PackageNotFoundError:
        return False


def _smallest_model(settings: Config) -> Path:
    settings.models.path.mkdir(parents=True, exist_ok=True)
    fetch.fetch_starter(settings.models.path)
    models = catalog.available(settings.models.path)
    return min(models, key=lambda model: model.size).path


def _build(folder: Path) -> Path:
    tools = folder / "tools"
    environ = {name: text for name, text in os.environ.items() if _PASSED_ON.fullmatch(name)}
    environ |= {"CMAKE_ARGS": _CMAKE_ARGS, "TMPDIR": str(folder)}
    environ["PATH"] = f"{tools / 'bin'}{os.pathsep}{environ.get('PATH', os.defpath)}"
    # Not one of pip's isolated builds: those take the newest tools, whatever their hash.
    venv.create(tools, symlinks=True)
    pinned = ["--require-hashes", "--only-binary", ":all:", "--requirement", str(BUILD_TOOLS)]
    _pip("install", *pinned, python=tools / "bin" / "python", environ=environ)
    options = ["--no-build-isolation", "--no-binary", PACKAGE, "--no-cache-dir", "--no-deps"]
    options += ["--wheel-dir", str(folder), *_pinned(folder)]
    _pip("wheel", *options, python=tools / "bin" / "python", environ=environ)
    (wheel,) = folder.glob("*.whl")
    return wheel


def _pinned(folder: Path) -> tuple[str, ...]:
    """Return pip's arguments for the version and hashes in requirements.txt."""
    text = (ROOT / "requirements.txt").read_text()
    found = re.search(rf"^{PACKAGE}==(?:.*\\\n)*.*\n", text, re.MULTILINE)
    listing = folder / "requirements.txt"
    listing.write_text(found[0] if found else PACKAGE)
    return "--require-hashes", "--requirement", str(listing)


def _measure_gain(model: Path, aside: str) -> float:
    """Return how many times as fast the engine aside is. Raises CommandError unless faster."""
    prebuilt, native = Engine(), Engine()
    try:
        expected, _ = _transcribe(prebuilt, model)
        os.environ["PYTHONPATH"] = aside
        words, _ = _transcribe(native, model)
        if words != expected:
            raise CommandError("The native engine gets other words; the prebuilt one stays")
        # In turns, and the best of each: other load on the machine slows down both.
        pairs = [
            (_transcribe(prebuilt, model)[1], _transcribe(native, model)[1]) for _ in range(ROUNDS)
        ]
    except (EngineCrashed, ServiceError) as error:
        raise CommandError(f"The comparison failed: {error}; the prebuilt one stays") from error
    finally:
        os.environ.pop("PYTHONPATH", None)
        prebuilt.close()
        native.close()
    factor = min(old for old, _ in pairs) / min(new for _, new in pairs)
    if factor <= 1:
        raise CommandError(
            f"The native engine is {factor:.2f} times as fast; the prebuilt one stays"
        )
    return factor


def _transcribe(engine: Engine, model: Path) -> tuple[list[str], float]:
    """Transcribe the recording; return its words, and the seconds that it took."""
    chunk = Chunk(0, transcoding.count_samples(RECORDING))
    request = Task(TRANSCRIBE, chunk).request(RECORDING, "en", os.cpu_count() or 1)
    started = time.monotonic()
    answer = engine.ask(model, request, SECONDS, lambda: True)
    seconds = time.monotonic() - started
    assert isinstance(answer, Transcribed)
    text = "".join(segment.text for segment in answer.segments)
    return re.findall(r"\w+", text.lower()), seconds


def _install(*what: str) -> None:
    """Replace the installed package with signals ignored, by pip as well, which inherits that."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_IGN) for number in signals]
    try:
        _pip("install", "--no-deps", "--force-reinstall", *what)
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _pip(
    *arguments: str, python: Path | None = None, environ: dict[str, str] | None = None
) -> None:
    """Run pip, for another Python if one is given. Raises CommandError."""
    command = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check"]
    command += ["--python", str(python), *arguments] if python else arguments
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = _reason(done.stdout + done.stderr)
        raise CommandError(f"pip {arguments[0]} failed, and changed nothing: {reason}")


def _reason(output: str) -> str:
    """Return the first error of CMake or the compiler, rather than pip's own."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [place for place, line in enumerate(lines) if re.search("CMake Error|error:", line)]
    first = errors[0] if errors else 0
    return " ".join(lines[first : first + 2])[:200] or "no reason given"
