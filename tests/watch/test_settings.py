"""Settings that cannot work end the start with a line that names them."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import failure
from tests.support.service import Service
from tests.support.watching import WatchedFolder
from whisper_service import config
from whisper_service.errors import CommandError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"user": ""}, "watch.user must be an existing account, not ''"),
        ({"user": "bob"}, "watch.user must be an existing account, not 'bob'"),
        ({"model": ""}, "watch.model must be a non-empty string, not ''"),
        ({"language": "xx"}, "watch.language must be \"auto\" or the code of a language, not 'xx'"),
        ({"language": ""}, "watch.language must be \"auto\" or the code of a language, not ''"),
        ({"formats": ()}, "watch.formats must be some of verbose_json, srt, vtt, json, txt"),
        ({"formats": ("srt", "doc")}, "watch.formats must be some of verbose_json, srt, vtt"),
        ({"formats": ("srt", "srt")}, "watch.formats must have different endings, unlike"),
        ({"formats": ("json", "verbose_json")}, "watch.formats must have different endings"),
        ({"path": "/dev/null"}, "watch.path must be a folder that the service may read and write"),
        ({"path": "/none/such"}, "watch.path must be a folder that the service may read and write"),
    ],
)
def test_a_wrong_setting_is_named(
    watched: WatchedFolder, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(CommandError) as error:
        watched.restart(**changes)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("inner", ["", "files", ".."])
def test_the_storage_is_not_watched(watched: WatchedFolder, service: Service, inner: str) -> None:
    with pytest.raises(CommandError, match=r"watch\.path and storage\.path must not contain"):
        watched.restart(path=str(service.storage.root / inner))


def test_a_model_may_come_later_and_names_have_any_case(watched: WatchedFolder) -> None:
    watched.restart(model="ggml-later", user="ANN", formats=("srt", "json"))


def test_the_path_starts_at_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    for written, read in (("in", str(tmp_path / "in")), ("/in", "/in"), ("", "")):
        path.write_text(f"[watch]\npath = '{written}'")
        assert config.load(path, {}).watch.path == read
    assert not config.load(path, {}).watch.enabled


def test_the_start_ends_with_one_line(tmp_path: Path, stub_models: Path) -> None:
    environ = {
        "WHISPER_SERVICE_SERVER_PORT": "0",
        "WHISPER_SERVICE_STORAGE_PATH": str(tmp_path / "storage"),
        "WHISPER_SERVICE_MODELS_PATH": str(stub_models),
        "WHISPER_SERVICE_WATCH_PATH": str(tmp_path),
        "WHISPER_SERVICE_WATCH_USER": "ann",
    }
    line = failure(**environ)
    assert line == "error: watch.path and storage.path must not contain one another"
    (tmp_path / "in").mkdir()
    line = failure(**{**environ, "WHISPER_SERVICE_WATCH_PATH": str(tmp_path / "in")})
    assert line == "error: watch.user must be an existing account, not 'ann'"
