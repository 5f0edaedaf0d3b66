"""The build in the background: when it is needed, what the log says, and that it ends."""

import logging
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.live import PROGRAM, launch
from tests.support.waiting import until
from whisper_service.whisper.native import background, library
from whisper_service.whisper.native.background import BackgroundBuild


@pytest.fixture(autouse=True)
def cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Path:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(library, "why_not", lambda: None)
    library.cache_folder().mkdir()
    return library.cache_folder()


def run(monkeypatch: pytest.MonkeyPatch, program: str) -> BackgroundBuild:
    monkeypatch.setattr(background, "COMMAND", [sys.executable, "-c", program])
    build = BackgroundBuild(Path("models"))
    build.start()
    return build


def ended(build: BackgroundBuild) -> None:
    until(lambda: not build._thread.is_alive(), 30)
    build.stop()


def test_the_log_says_how_it_begins_and_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ended(run(monkeypatch, "print('Compiling'); print('The patch x is left out'); print('Built')"))
    assert [record.getMessage() for record in caplog.records] == [
        "Building an engine for this processor; the prebuilt one works meanwhile",
        "The patch x is left out",
        "Built",
    ]


def test_a_failure_is_told_once_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ended(run(monkeypatch, "import sys; sys.exit('error: pip install failed: no network')"))
    assert caplog.records[-1].getMessage() == (
        "No engine was built, the prebuilt one stays: pip install failed: no network"
    )


def test_nothing_is_built_twice_or_in_vain(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    library.rejection(library.processor()).write_text("slower")
    ended(run(monkeypatch, "print('Built')"))
    library.rejection(library.processor()).unlink()
    (cache / "made.so").write_bytes(b"a library")
    library.place(cache / "made.so", library.processor())
    ended(run(monkeypatch, "print('Built')"))
    assert not caplog.records


def test_a_machine_that_cannot_build_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(library, "why_not", lambda: "the processor (mips) is unknown")
    ended(run(monkeypatch, "print('Built')"))
    assert [record.getMessage() for record in caplog.records] == [
        "The prebuilt engine is used: the processor (mips) is unknown"
    ]


def test_it_ends_with_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    build = run(monkeypatch, "import time; time.sleep(60)")
    until(lambda: build._process is not None, 30)
    started = time.monotonic()
    build.stop()
    assert time.monotonic() - started < 10
    assert build._process
    assert build._process.returncode == -signal.SIGKILL


def test_it_ends_when_the_service_was_killed(tmp_path: Path) -> None:
    building = subprocess.Popen(
        [*PROGRAM, "native", "--background"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    assert building.stdin
    building.stdin.close()
    assert building.wait(60) != 0


def test_a_service_without_network_works_and_stops(tmp_path: Path, tiny_en_model: Path) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0"}
    process = launch(
        tmp_path / "storage",
        tiny_en_model.parent,
        WHISPER_SERVICE_ENGINE_NATIVE="auto",
        XDG_CACHE_HOME=str(tmp_path / "cache"),
        **nowhere,
    )
    assert process.stdout
    with process.stdout:
        assert "is ready on" in process.stdout.readline()
    until((tmp_path / "cache" / "whisper-service" / "lock").exists, 60)
    process.terminate()
    assert process.wait(30) == 0
