"""A library is kept only if it is better, and whatever happens an engine works."""

import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.harness import seeded
from tests.support.paths import ROOT
from whisper_service.commands import native, native_trial
from whisper_service.config import Config
from whisper_service.errors import CommandError
from whisper_service.whisper.engine import Engine
from whisper_service.whisper.native import build, library


@pytest.fixture
def settings(settings: Config, tiny_en_model: Path) -> Config:
    """Settings with a real model, for the engines are compared on it."""
    return replace(settings, models=replace(settings.models, path=tiny_en_model.parent))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return library.cache_folder()


@pytest.fixture
def built(cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Build something that is no library, and collect for what it was built."""
    built: list[str] = []

    def make(folder: Path, cpu: str, _say: object) -> Path:
        built.append(cpu)
        made = folder / "library.so"
        made.write_bytes(b"no library")
        return made

    monkeypatch.setattr(build, "build", make)
    return built


def left(cache: Path) -> set[str]:
    return {path.name for path in cache.iterdir()} - {"lock"}


def test_one_that_fails_is_not_kept_and_not_built_again(
    settings: Config, cache: Path, built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native_trial, "ROUNDS", 1)
    with pytest.raises(CommandError, match=r"^The new engine fails: The engine ended with \d+$"):
        native.run(settings)
    assert built == ["native"]
    assert library.find() is None
    rejection = library.rejection(library.processor())
    assert left(cache) == {rejection.name}
    assert "fails" in rejection.read_text()


@pytest.mark.parametrize(
    ("seconds", "word", "said"),
    [
        ([5.0, 2.0], "ask", None),
        ([5.0, 4.0], "ask", "is 1.00 times as fast"),
        ([1.0, 1.0], "knot", "gets other words"),
    ],
    ids=["faster", "no faster", "other words"],
)
def test_the_best_run_of_each_with_the_same_words_decides(
    seconds: list[float], word: str, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = seconds
    answers = iter([(4.0, ["ask"]), (first, ["ask"]), (9.0, ["ask"]), (second, [word])])
    monkeypatch.setattr(native_trial, "ROUNDS", 2)
    monkeypatch.setattr(native_trial, "_measure", lambda _engine, _model: next(answers))
    if said is None:
        assert native_trial.gain(Path("model"), Path("library")) == 2
    else:
        with pytest.raises(native_trial.NoBetterError, match=said):
            native_trial.gain(Path("model"), Path("library"))


def test_the_prebuilt_engine_hears_the_recordings(tiny_en_model: Path) -> None:
    engine = Engine()
    try:
        _, words = native_trial._measure(engine, tiny_en_model)
    finally:
        engine.close()
    assert words[:6] == "and so my fellow americans ask".split()
    assert words[-3:] == ["made", "amiable", "himself"]


def test_in_the_background_no_model_is_downloaded(
    settings: Config, built: list[str], tmp_path: Path
) -> None:
    with pytest.raises(CommandError, match="no model yet"):
        native._smallest_model(tmp_path / "none", background=True)


def test_a_library_is_kept_and_built_once(
    settings: Config,
    cache: Path,
    built: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(native_trial, "gain", lambda _model, _library: 2.5)
    native.run(settings)
    assert "the engine is 2.50 times as fast" in capsys.readouterr().err
    found = library.find()
    assert found
    assert left(cache) == {found.name}
    native.run(settings)
    assert "already built" in capsys.readouterr().err
    assert built == ["native"]


def test_one_for_a_level_is_not_tried(
    settings: Config,
    cache: Path,
    built: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    native.run(settings, level="x86-64-v4")
    assert built == ["x86-64-v4"]
    assert "Built for x86-64-v4" in capsys.readouterr().err
    with pytest.raises(CommandError, match="--level must be one of x86-64-v4, x86-64-v3"):
        native.run(settings, level="i486")


def test_what_a_killed_build_left_is_removed(
    settings: Config, cache: Path, built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native_trial, "gain", lambda _model, _library: 2.5)
    (cache / "build-123" / "tools").mkdir(parents=True)
    native.run(settings)
    assert not list(cache.glob("build-*"))


def test_two_do_not_build_at_once(settings: Config, cache: Path, built: list[str]) -> None:
    with native._locked(), pytest.raises(CommandError, match="Another process is building"):
        native.run(settings)
    assert built == []


def test_without_a_cache_nothing_is_built(
    settings: Config, built: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(CommandError, match="cannot be written: Not a directory"):
        native.run(settings)
    assert built == []


needs_minutes = pytest.mark.skipif(
    not os.environ.get("TEST_NATIVE_BUILD"), reason="takes minutes; run by `make test-native`"
)
KILLS = int(os.environ.get("TEST_NATIVE_KILLS", "20"))


def launch(models: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(ROOT / "app.py"), "native"],
        env={**os.environ, "WHISPER_SERVICE_MODELS_PATH": str(models)},
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def hear(model: Path, environment: dict[str, str]) -> list[str]:
    engine = Engine(lambda: environment)
    try:
        return native_trial._measure(engine, model)[1]
    finally:
        engine.close()


@needs_minutes
def test_the_real_build(settings: Config, cache: Path, tiny_en_model: Path) -> None:
    building = launch(settings.models.path)
    said = building.communicate()[1]
    assert building.returncode == 0, said
    factor = re.search(r"the engine is (\S+) times as fast", said)
    assert factor
    assert float(factor[1]) > 1
    assert "left out" not in said
    found = library.find()
    assert found
    assert left(cache) == {found.name}
    assert "already built" in launch(settings.models.path).communicate()[1]
    # More threads than cores: without a barrier that yields, this would take minutes.
    environment = {"WHISPER_LIBRARY": str(found)}
    started = time.monotonic()
    alone = hear(tiny_en_model, environment)
    seconds = time.monotonic() - started
    with ThreadPoolExecutor() as pool:
        heard = list(pool.map(hear, [tiny_en_model] * 2, [environment] * 2))
    assert heard == [alone] * 2
    assert time.monotonic() - started < 10 * seconds


@needs_minutes
def test_a_killed_build_leaves_an_engine_that_works(
    settings: Config, cache: Path, tiny_en_model: Path
) -> None:
    random = seeded()
    for _ in range(KILLS):
        building = launch(settings.models.path)
        with suppress(subprocess.TimeoutExpired):
            building.communicate(timeout=random.uniform(0, 200))
        with suppress(ProcessLookupError):
            os.killpg(building.pid, signal.SIGKILL)
        building.communicate()
        found = library.find()
        assert hear(tiny_en_model, {"WHISPER_LIBRARY": str(found)} if found else {})
    assert len(list(cache.glob("build-*"))) <= 1
