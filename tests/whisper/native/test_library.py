"""A library is used only if it is what was built here, whole, for this processor."""

import os
import pwd
from pathlib import Path

import pytest

from tests.support.library_cache import empty_cache
from whisper_service.config import EngineSettings
from whisper_service.whisper.native import library

NAME = "native-0123"
AUTO = EngineSettings()
WHY_NOT = library.why_not


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return empty_cache(tmp_path, monkeypatch, NAME)


def placed(name: str = NAME, content: bytes = b"a library") -> Path:
    made = library.cache_folder() / "made.so"
    made.write_bytes(content)
    return library.place(made, name)


def test_what_was_placed_is_found() -> None:
    assert library.find() is None
    assert library.environment(AUTO) == {}
    path = placed()
    assert library.find() == path
    assert library.environment(AUTO) == {"WHISPER_LIBRARY": str(path)}
    assert library.environment(EngineSettings(native="off")) == {}
    stored = library.environment(EngineSettings(weights="as stored"))
    assert stored.keys() == {"WHISPER_LIBRARY", "WHISPER_ENCODER_TYPE", "WHISPER_DECODER_TYPE"}


@pytest.mark.parametrize("content", [b"", b"a librar", b"another!!", b"a library of lies"])
def test_one_that_has_changed_is_not(content: bytes) -> None:
    placed().write_bytes(content)
    assert library.find() is None


def test_one_that_others_can_write_is_not() -> None:
    path = placed()
    path.chmod(0o666)
    assert library.find() is None
    path.chmod(0o644)
    assert library.find() == path


def test_one_of_another_version_or_processor_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    path = placed()
    other = path.with_name(path.name.replace(library._version(NAME), "0" * 12))
    path.rename(other)
    assert library.find() is None
    other.rename(path)
    assert library.find() == path
    monkeypatch.setattr(library, "processor", lambda: "native-4567")
    assert library.find() is None


def test_the_oldest_are_removed(cache: Path) -> None:
    made = []
    for number in range(library.MOST_KEPT + 2):
        made.append(placed(content=b"%d" % number))
        os.utime(made[-1], (number, number))
    assert set(cache.iterdir()) == set(made[2:])


def test_a_level_is_used_where_there_is_nothing_better(monkeypatch: pytest.MonkeyPatch) -> None:
    level = placed("x86-64-v3")
    monkeypatch.setattr(library, "features", lambda: library.LEVELS["x86-64-v3"])
    assert library.find() == level
    own = placed()
    assert library.find() == own
    own.unlink()
    monkeypatch.setattr(library, "features", lambda: {"sse2"})
    assert library.find() is None


def test_a_user_without_a_home_has_the_prebuilt_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # as in a container, for any user
    assert library.find() is None
    assert library.environment(AUTO) == {}
    monkeypatch.setattr(library, "why_not", WHY_NOT.__wrapped__)
    assert "no home folder" in str(library.why_not())


def test_a_cache_that_is_hidden_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(_path: Path, _pattern: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "glob", hidden)
    assert library.find() is None


def test_levels_are_told_from_features(monkeypatch: pytest.MonkeyPatch) -> None:
    both = library.LEVELS["x86-64-v3"] | library.LEVELS["x86-64-v4"]
    monkeypatch.setattr(library, "features", lambda: both)
    assert library.levels() == ["x86-64-v4", "x86-64-v3"]


def test_the_installed_wheel_is_known() -> None:
    assert library.replaced_name().startswith("libwhisper-")
