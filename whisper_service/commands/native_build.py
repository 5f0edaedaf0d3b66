"""`make native`: whisper.cpp built for this machine's processor, in place of the ready-made one.

The new build is made and tried beside the installed one, which it replaces only when it hears the
same words in less time. Whatever happens, and whenever it is interrupted, an engine that works is
left.
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
RECORDING = ROOT / "tests" / "data" / "jfk.wav"
ROUNDS = 5
SECONDS = 300

# GGML_LLAMAFILE brings the fast products of float16 matrices, which the ready-made build lacks.
# ggml multiplies vectors in steps of 128 where it sees AVX512-FP16, but a head is 64 wide: with it
# hidden, the decoder is up to 1.7 times as fast.
_RPATH = "@loader_path" if sys.platform == "darwin" else "$ORIGIN"
_CMAKE_ARGS = (
    "-DGGML_NATIVE=ON -DGGML_LLAMAFILE=ON "
    "-DCMAKE_C_FLAGS=-U__AVX512FP16__ -DCMAKE_CXX_FLAGS=-U__AVX512FP16__ "
    f"-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON -DCMAKE_INSTALL_RPATH={_RPATH}"
)
# The package's setup.py makes a CMake option of every variable, so it gets to see few.
_PASSED_ON = re.compile(r"PATH|HOME|CC|CXX|SDKROOT|SSL_CERT_FILE|PIP_.*|(?i:.*_proxy)")


def run(settings: Config) -> None:
    """Build the engine for this machine, and use it from now on if it is the faster one.

    Raises CommandError when the ready-made one stays, or had to come back.
    """
    if sys.prefix == sys.base_prefix:
        raise CommandError("Only an engine in a virtual environment is replaced: make native")
    model = _smallest_model(settings)
    if is_native():
        _confirm(model)
        say("The engine is built for this machine already")
        return
    _check_tools()
    with tempfile.TemporaryDirectory() as folder:
        say("Building whisper.cpp for this machine; this takes about two minutes")
        wheel = _build(Path(folder))
        say(f"Comparing it with the ready-made one, on {model.name}")
        aside = str(Path(folder) / "aside")
        _pip("install", "--no-index", "--no-deps", "--target", aside, str(wheel))
        factor = _gain(model, aside)
        _install("--no-index", str(wheel))
    _confirm(model)
    say(f"Built for this machine, the engine is {factor:.2f} times as fast; a service that is")
    say(f"running takes it at its next start. Another version of {PACKAGE} in requirements.txt")
    say("comes ready-made again: then run make native again.")


def _check_tools() -> None:
    compilers = os.environ.get("CXX", ""), "c++", "g++", "clang++"
    has_headers = Path(sysconfig.get_path("include"), "Python.h").is_file()
    if not (has_headers and any(shutil.which(name) for name in compilers)):
        raise CommandError(
            "A C++ compiler and Python's headers are needed; on Debian: apt install g++ python3-dev"
        )


def _confirm(model: Path) -> None:
    """Try the installed engine; if it does not work here, put the ready-made one back."""
    engine = Engine()
    try:
        _hear(engine, model)
    except (EngineCrashed, ServiceError):
        with tempfile.TemporaryDirectory() as folder:
            _install("--only-binary", PACKAGE, *_pinned(Path(folder)))
        raise CommandError("The native engine does not work; the ready-made one is back") from None
    finally:
        engine.close()


def is_native() -> bool:
    """Tell whether the package was installed from a file, and so not by the requirements."""
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
    # Pip's isolated builds take the newest tools, of whatever hash.
    venv.create(tools, symlinks=True)
    pinned = ["--require-hashes", "--only-binary", ":all:", "--requirement", str(BUILD_TOOLS)]
    _pip("install", *pinned, python=tools / "bin" / "python", environ=environ)
    options = ["--no-build-isolation", "--no-binary", PACKAGE, "--no-cache-dir", "--no-deps"]
    options += ["--wheel-dir", str(folder), *_pinned(folder)]
    _pip("wheel", *options, python=tools / "bin" / "python", environ=environ)
    (wheel,) = folder.glob("*.whl")
    return wheel


def _pinned(folder: Path) -> tuple[str, ...]:
    """Ask for the very version and hashes that requirements.txt asks for."""
    text = (ROOT / "requirements.txt").read_text()
    found = re.search(rf"^{PACKAGE}==(?:.*\\\n)*.*\n", text, re.MULTILINE)
    listing = folder / "requirements.txt"
    listing.write_text(found[0] if found else PACKAGE)
    return "--require-hashes", "--requirement", str(listing)


def _gain(model: Path, aside: str) -> float:
    """Tell how many times as fast the engine aside is. Raises CommandError unless it is better."""
    ready, native = Engine(), Engine()
    try:
        words, _ = _hear(ready, model)
        os.environ["PYTHONPATH"] = aside
        heard, _ = _hear(native, model)
        if heard != words:
            raise CommandError("The native engine hears other words; the ready-made one stays")
        # By turns, and the best of each: whatever else the machine does slows down both.
        pairs = [(_hear(ready, model)[1], _hear(native, model)[1]) for _ in range(ROUNDS)]
    except (EngineCrashed, ServiceError) as error:
        raise CommandError(f"The comparison failed: {error}; the ready-made one stays") from error
    finally:
        os.environ.pop("PYTHONPATH", None)
        ready.close()
        native.close()
    factor = min(old for old, _ in pairs) / min(new for _, new in pairs)
    if factor <= 1:
        raise CommandError(
            f"The native engine is {factor:.2f} times as fast; the ready-made one stays"
        )
    return factor


def _hear(engine: Engine, model: Path) -> tuple[list[str], float]:
    """Transcribe the recording; returns its words, and the seconds that it took."""
    chunk = Chunk(0, transcoding.count_samples(RECORDING))
    request = Task(TRANSCRIBE, chunk).request(RECORDING, "en", os.cpu_count() or 1)
    started = time.monotonic()
    answer = engine.ask(model, request, SECONDS, lambda: True)
    seconds = time.monotonic() - started
    assert isinstance(answer, Transcribed)
    text = "".join(segment.text for segment in answer.segments)
    return re.findall(r"\w+", text.lower()), seconds


def _install(*what: str) -> None:
    """Replace the installed package, uninterrupted: pip, too, inherits what is ignored."""
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
    """Pick what tells most: the first error of CMake or the compiler, before pip's own."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [place for place, line in enumerate(lines) if re.search("CMake Error|error:", line)]
    first = errors[0] if errors else 0
    return " ".join(lines[first : first + 2])[:200] or "no reason given"
