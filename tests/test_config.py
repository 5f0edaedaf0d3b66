import os
from dataclasses import asdict
from pathlib import Path

import pytest

from whisper_service import config
from whisper_service.config import Config
from whisper_service.errors import CommandError


def load(tmp_path: Path, text: str = "", **environ: str) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return config.load(path, environ)


def test_the_files_values_are_the_defaults(tmp_path: Path) -> None:
    shipped = config.load(environ={})
    root = config.DEFAULT_FILE.parent
    assert shipped.storage.path == root / "storage"
    assert shipped.models.path == root / "models"
    written = asdict(load(tmp_path, config.DEFAULT_FILE.read_text()))
    assert written == asdict(load(tmp_path))
    documented = config.DEFAULT_FILE.read_text()
    for section, values in written.items():
        assert f"[{section}]" in documented
        for key in values:
            assert f"\n{key} = " in documented


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        "[server]\nport = 1\nhost = 'a'",
        WHISPER_SERVICE_SERVER_PORT="9000",
        WHISPER_SERVICE_STORAGE_MAX_UPLOAD_BYTES="5",
        WHISPER_SERVICE_MODELS_PATH="/m",
        WHISPER_SERVICE_SERVER_CORS_ORIGINS="https://a.test https://b.test",
        WHISPER_SERVICE_SERVER_PUBLIC_METRICS="true",
    )
    assert settings.server == config.ServerSettings(
        host="a", port=9000, cors_origins=("https://a.test", "https://b.test"), public_metrics=True
    )
    assert settings.storage.max_upload_bytes == 5
    assert settings.models.path == Path("/m")


def test_a_table_of_names_is_read_from_both(tmp_path: Path) -> None:
    assert load(tmp_path, "[models.aliases]\na = 'b'").models.aliases == (("a", "b"),)
    variable = {"WHISPER_SERVICE_MODELS_ALIASES": "gpt-4o=ggml-small whisper-1="}
    aliases = load(tmp_path, "[models]\naliases = { a = 'b' }", **variable).models.aliases
    assert aliases == (("gpt-4o", "ggml-small"), ("whisper-1", ""))


def test_a_variable_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "other.toml"
    path.write_text("[server]\nport = 7")
    assert config.load(environ={"WHISPER_SERVICE_CONFIG": str(path)}).server.port == 7


def test_paths_start_at_the_file(tmp_path: Path) -> None:
    assert load(tmp_path, "[storage]\npath = 'x'").storage.path == tmp_path / "x"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server]\nprot = 1", "Unknown setting server.prot"),
        ("[sever]\nport = 1", "Unknown section [sever] in config.toml"),
        ("port = 1", "Unknown section [port] in config.toml"),
        ("[server]\nport = '80'", "server.port must be a whole number from 0 to 65535, not '80'"),
        ("[server]\nport = true", "server.port must be a whole number from 0 to 65535, not True"),
        ("[server]\nport = 65536", "server.port must be a whole number from 0 to 65535, not 65536"),
        ("[server]\nhost = 1", "server.host must be a non-empty string, not 1"),
        ("[server]\npublic_metrics = 1", "server.public_metrics must be true or false, not 1"),
        ("[server]\ncors_origins = 'a'", "server.cors_origins must be a list of strings, not 'a'"),
        ("[server]\ncors_origins = [1]", "server.cors_origins must be a list of strings, not [1]"),
        ("[storage]\npath = ''", "storage.path must be a non-empty string, not ''"),
        ("[models]\naliases = 'a'", "models.aliases must be a table of strings, not 'a'"),
        ("[models.aliases]\na = 1", "models.aliases must be a table of strings, not {'a': 1}"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CommandError) as error:
        load(tmp_path, text)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("WHISPER_SERVICE_SERVER_PROT", "1", "Unknown setting server.prot"),
        ("WHISPER_SERVICE_SERVER_PORT", "x", "server.port must be a whole number"),
        ("WHISPER_SERVICE_SERVER_PUBLIC_METRICS", "perhaps", "server.public_metrics must be true"),
        ("WHISPER_SERVICE_SERVER_PORT", "-1", "server.port must be a whole number"),
        ("WHISPER_SERVICE_NOTHING", "1", "Unknown section [nothing]"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, name: str, value: str, message: str) -> None:
    with pytest.raises(CommandError, match="^" + message.replace("[", r"\[")):
        load(tmp_path, "", **{name: value})


def test_a_file_that_is_missing_or_not_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"Cannot read the configuration .*none\.toml: No such"):
        config.load(tmp_path / "none.toml", {})
    with pytest.raises(CommandError, match=r"config\.toml is not valid TOML"):
        load(tmp_path, "[server")


def test_busy_engines_share_the_cores() -> None:
    cores = os.cpu_count() or 1
    assert config.WorkerSettings().engines == config.WorkerSettings().threads_for(1) == cores
    assert (
        config.WorkerSettings().threads_for(cores) == config.WorkerSettings().threads_for(99) == 1
    )
    assert config.WorkerSettings(jobs=3, threads=5).engines == 3
    assert config.WorkerSettings(jobs=3, threads=5).threads_for(3) == 5
