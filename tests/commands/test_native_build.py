"""An engine is replaced only by one that is better, and whatever happens one that works is left."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import venv
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from whisper_service.commands import native_build
from whisper_service.config import Config
from whisper_service.errors import CommandError

# A module that takes the binding's place, and changes one thing about it.
STAND_IN = """
import sys
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

here = str(Path(__file__).parent)
spec = PathFinder.find_spec("_pywhispercpp", [path for path in sys.path if path != here])
real = module_from_spec(spec)
spec.loader.exec_module(real)
globals().update(vars(real))
runs = 0

def whisper_full(*arguments):
    global runs
    runs += 1
    return run(runs, lambda: real.whisper_full(*arguments))
"""
FASTER = "def run(number, real): return real() if number == 1 else 0"
DEAF = "def run(number, real): return 1"
CRASHES = "import os; os.abort()"
MISSES = "raise ImportError"
MISHEARS = """
def run(number, real): return real()
def whisper_full_get_segment_text(*_): return b"Ask not"
"""


@pytest.fixture
def settings(settings: Config, tiny_en_model: Path) -> Config:
    """Settings with a real model, for the engines are compared on it."""
    return replace(settings, models=replace(settings.models, path=tiny_en_model.parent))


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Have the build produce a wheel with a stand-in for the engine."""
    monkeypatch.setattr(native_build, "ROUNDS", 1)
    monkeypatch.setattr(native_build, "is_native", lambda: False)

    def make(change: str) -> Path:
        path = tmp_path / "pywhispercpp-1.5.1-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("_pywhispercpp.py", STAND_IN + change)
            info = "pywhispercpp-1.5.1.dist-info"
            archive.writestr(
                f"{info}/METADATA", "Metadata-Version: 2.1\nName: pywhispercpp\nVersion: 1.5.1\n"
            )
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")
        monkeypatch.setattr(native_build, "_build", lambda _: path)
        return path

    return make


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Collect what would be installed."""
    made: list[tuple[str, ...]] = []
    monkeypatch.setattr(native_build, "_install", lambda *what: made.append(what))
    return made


def test_a_faster_engine_is_installed(wheel, installed, settings: Config, capsys) -> None:
    path = wheel(FASTER)
    native_build.run(settings)
    assert installed == [("--no-index", str(path))]
    said = capsys.readouterr().err
    assert re.search(r"Comparing it .* on ggml-tiny\.en\.bin\n", said)
    factor = re.search(r"the engine is (\S+) times as fast", said)
    assert factor
    assert float(factor[1]) > 1
    assert "PYTHONPATH" not in os.environ


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (MISHEARS, "gets other words; the prebuilt one stays"),
        (
            DEAF,
            "comparison failed: The recording could not be transcribed; the prebuilt one stays",
        ),
        pytest.param(
            CRASHES,
            "comparison failed: The engine ended with .*; the prebuilt one stays",
            marks=pytest.mark.torture,
        ),
        (MISSES, "comparison failed: The engine ended with .*; the prebuilt one stays"),
    ],
    ids=["mishears", "deaf", "crashes", "misses a library"],
)
def test_an_engine_that_is_no_better_is_not_installed(
    wheel, installed, settings, change, reason
) -> None:
    wheel(change)
    with pytest.raises(CommandError, match=reason) as caught:
        native_build.run(settings)
    assert "\n" not in str(caught.value)
    assert installed == []
    assert "PYTHONPATH" not in os.environ


@pytest.mark.parametrize(
    ("native", "gain"), [([3.0, 9.0], 1.33), ([9.0, 4.0], 1), ([5.0, 6.0], 0.8)]
)
def test_the_best_run_of_each_engine_decides(native, gain, monkeypatch, tmp_path: Path) -> None:
    times = iter([1.0, 1.0, 4.0, native[0], 7.0, native[1]])
    monkeypatch.setattr(native_build, "ROUNDS", 2)
    monkeypatch.setattr(native_build, "_transcribe", lambda *_: (["ask"], next(times)))
    if gain > 1:
        assert native_build._measure_gain(tmp_path, "") == pytest.approx(gain, abs=0.01)
    else:
        with pytest.raises(CommandError, match=f"is {gain:.2f} times as fast; .* one stays"):
            native_build._measure_gain(tmp_path, "")


def test_an_engine_that_stops_working_is_replaced_by_the_pinned_one(
    installed, settings: Config, monkeypatch, tmp_path: Path
) -> None:
    (tmp_path / "_pywhispercpp.py").write_text(CRASHES)
    monkeypatch.setattr(native_build, "is_native", lambda: True)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(CommandError, match="does not work; the prebuilt one is installed again"):
        native_build.run(settings)
    ((option, package, hashes, *_),) = installed
    assert (option, package, hashes) == ("--only-binary", "pywhispercpp", "--require-hashes")


def test_the_second_time_it_is_native_already(installed, settings, monkeypatch, capsys) -> None:
    monkeypatch.setattr(native_build, "is_native", lambda: True)
    native_build.run(settings)
    assert capsys.readouterr().err.endswith("The engine is already built for this machine\n")
    assert installed == []


def test_what_was_installed_from_a_file_is_native(tmp_path: Path, monkeypatch) -> None:
    info = tmp_path / "something_built-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: something-built\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(native_build, "PACKAGE", "something-built")
    assert not native_build.is_native()
    (info / "direct_url.json").write_text("{}")
    assert native_build.is_native()
    monkeypatch.setattr(native_build, "PACKAGE", "something-else")
    assert not native_build.is_native()


def test_missing_tools_are_reported_in_one_line(wheel, installed, settings, monkeypatch) -> None:
    wheel(FASTER)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(CommandError, match=r"^A C\+\+ compiler .* apt install g\+\+ python3-dev$"):
        native_build.run(settings)


def test_an_engine_outside_a_virtual_environment_is_left_alone(settings, monkeypatch) -> None:
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    with pytest.raises(CommandError, match="The engine is only replaced in a virtual"):
        native_build.run(settings)


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a stand-in for Python, and so for pip, that notes its arguments and environment."""
    python = tmp_path / "python"
    monkeypatch.setattr(native_build.sys, "executable", str(python))
    return python


def write(program: Path, text: str) -> None:
    program.write_text(f"#!{shutil.which('python3')}\n{text}")
    program.chmod(0o755)


def test_the_build_is_pinned_and_sees_few_variables(pip: Path, tmp_path: Path, monkeypatch) -> None:
    write(
        pip,
        "import json, os, pathlib, sys\n"
        "here = pathlib.Path(__file__).parent\n"
        "with (here / 'called').open('a') as file:\n"
        "    print(json.dumps([sys.argv[1:], dict(os.environ)]), file=file)\n"
        "(here / 'x.whl').touch()",
    )
    monkeypatch.setenv("GGML_CUDA", "1")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert native_build._build(tmp_path) == tmp_path / "x.whl"
    lines = (tmp_path / "called").read_text().splitlines()
    (tools, _), (arguments, environ) = map(json.loads, lines)
    python = tmp_path / "tools" / "bin" / "python"
    for called in (tools, arguments):
        assert called[called.index("--python") + 1] == str(python)
        assert "--require-hashes" in called
    assert tools[-4:] == ["--only-binary", ":all:", "--requirement", str(native_build.BUILD_TOOLS)]
    assert arguments[arguments.index("--no-binary") + 1] == "pywhispercpp"
    assert {"wheel", "--no-build-isolation", "--no-deps"} < set(arguments)
    assert str(python.parent) in environ["PATH"].split(os.pathsep)
    assert "GGML_CUDA" not in environ
    assert environ["https_proxy"] == "http://127.0.0.1:9"
    assert "-DGGML_LLAMAFILE=ON" in environ["CMAKE_ARGS"]
    pin = (tmp_path / "requirements.txt").read_text()
    assert re.fullmatch(r"pywhispercpp==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+\n", pin)
    assert pin in (ROOT / "requirements.txt").read_text()


def test_the_tools_of_the_build_are_locked() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    names = {re.split(r"[<>=]", requirement)[0] for requirement in groups["native"]}
    pin = r"^(\S+)==\S+(?: ; .*)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+$"
    locked = native_build.BUILD_TOOLS.read_text()
    assert set(re.findall(pin, locked, re.MULTILINE)) > names
    assert locked.count("==") == len(re.findall(pin, locked, re.MULTILINE))


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("Building\nx.cpp:1: fatal error: no such file\n\n  #include <y>\nERROR: Failed", "x.cpp"),
        ("-- Good\nCMake Error at x:1 (message):\n  Python is missing\nlast", "CMake Error .*miss"),
        ("ERROR: No matching distribution", "ERROR: No matching"),
        ("", "no reason given"),
    ],
)
def test_a_failed_build_is_reported_in_one_line(pip, tmp_path, output, reason) -> None:
    write(pip, f"import sys; print({output!r}); sys.exit(1)")
    failure = f"pip install failed, and changed nothing: {reason}"
    with pytest.raises(CommandError, match=failure) as e:
        native_build._build(tmp_path)
    assert "\n" not in str(e.value)


def test_nothing_interrupts_the_replacement(pip: Path, tmp_path: Path) -> None:
    write(
        pip,
        "import os, pathlib, signal, time\n"
        "for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):\n"
        "    os.kill(os.getppid(), number); os.kill(os.getpid(), number)\n"
        "pathlib.Path(__file__).with_name('done').touch()",
    )
    before = signal.getsignal(signal.SIGINT)
    native_build._install("x.whl")
    assert (tmp_path / "done").exists()
    assert signal.getsignal(signal.SIGINT) == before


@pytest.mark.skipif(
    not os.environ.get("TEST_NATIVE_BUILD"), reason="takes minutes; run by `make test-native`"
)
def test_the_real_build(tiny_en_model: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    pip = [python, "-m", "pip", "--quiet", "install", "--require-hashes"]
    subprocess.run([*pip, "-r", str(ROOT / "requirements.txt")], check=True)
    command = [python, str(ROOT / "app.py"), "native"]
    environ = {**os.environ, "WHISPER_SERVICE_MODELS_PATH": str(tiny_en_model.parent)}

    def run() -> str:
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr

    assert "times as fast" in run()
    assert run().endswith("The engine is already built for this machine\n")
