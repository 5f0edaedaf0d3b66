"""Which folder the service takes for its own, what it removes there, and who else may look."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.commands import failure, run
from tests.support.harness import start
from tests.support.live import Client, start_server
from tests.support.paths import DATA
from tests.support.pictures import PNG
from tests.support.service import PASSWORD
from whisper_service import ids
from whisper_service.errors import CommandError
from whisper_service.files import storage_folder
from whisper_service.files.storage import Storage


def contents(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if name.endswith("/") else path.write_bytes(b"x")


@pytest.mark.parametrize(
    "name",
    [
        "photo.jpg",
        "log/",
        ".profile",
        "files/report.pdf",
        "files/holiday/1.jpg",
        "tmp/x",
        "avatars/me.png",
    ],
)
def test_a_folder_of_somebody_else_is_refused_and_left_alone(tmp_path: Path, name: str) -> None:
    make(tmp_path, name)
    before = contents(tmp_path)
    with pytest.raises(
        CommandError, match=f"^{tmp_path} is not a storage folder: it holds {name[:3]}"
    ):
        Storage(tmp_path)
    assert contents(tmp_path) == before


def test_no_command_takes_a_folder_of_somebody_else(tmp_path: Path) -> None:
    make(tmp_path, "photo.jpg")
    storage = {"WHISPER_SERVICE_STORAGE_PATH": str(tmp_path), "WHISPER_SERVICE_SERVER_PORT": "0"}
    for command in ([], ["create-admin", "root"]):
        line = failure(*command, typed=PASSWORD, **storage)
        assert line.startswith(f"error: {tmp_path} is not a storage folder: it holds photo.jpg")
    assert contents(tmp_path) == {"photo.jpg"}


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("lost+found/",),
        ("files/lost+found/", "avatars/", "tmp/"),
        ("files/", "lock", "write.lock", "service.db.part"),
        (f"files/{'0' * 32}/original", f"avatars/{'0' * 32}.png", f"tmp/{'0' * 32}"),
        ("service.db", "notes.txt"),
        ("service.db-wal", "service-v2.db"),
    ],
)
def test_an_empty_folder_and_its_own_are_taken(tmp_path: Path, names: tuple[str, ...]) -> None:
    make(tmp_path, *names)
    for _ in range(2):
        Storage(tmp_path)
    assert contents(tmp_path) >= {"files", "avatars", "tmp"}


def test_the_sweep_knows_the_names_that_the_service_gives(tmp_path: Path) -> None:
    make(tmp_path, "service.db")
    storage = Storage(tmp_path)
    make(tmp_path, "files/holiday/1.jpg", "tmp/thesis.tex", "tmp/drafts/", "avatars/me.png")
    kept = contents(tmp_path)
    uuid = ids.uuid7()
    make(tmp_path, f"files/{uuid}/original", f"avatars/{uuid}.png", f"tmp/{uuid}.timed")
    make(tmp_path, "tmp/tmpab12_x9z")
    storage.temporary().mkdir()
    assert storage.holds_recordings()
    storage.sweep([], [])
    assert contents(tmp_path) == kept
    assert not storage.holds_recordings()


def test_commands_for_a_service_make_none(tmp_path: Path) -> None:
    """A mistyped path stays what it is."""
    path = tmp_path / "typo"
    for command in (["check"], ["backup", str(tmp_path / "backup")]):
        line = failure(*command, WHISPER_SERVICE_STORAGE_PATH=str(path))
        assert line == f"error: {path} holds no service.db"
        assert not path.exists()


def exposed(root: Path) -> dict[str, str]:
    """Return the permissions of all that others than the owner may touch."""
    found = {str(path): path.stat().st_mode for path in (root, *root.rglob("*"))}
    return {path: oct(mode) for path, mode in found.items() if mode & 0o077}


@pytest.fixture
def _generous() -> Iterator[None]:
    """Set a umask that shares every file of this process and its children."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_generous")
def test_nobody_else_may_look(stub_models: Path, tmp_path: Path) -> None:
    storage, backup, again = (tmp_path / name for name in ("storage", "backup", "again"))
    server = start(storage, stub_models)
    client = Client(server, "ann")
    picture = {"avatar": ("me.png", PNG)}
    url, headers = f"{client.url}/user", client.headers
    assert requests.patch(url, files=picture, headers=headers, timeout=10).ok
    file = client.upload(DATA / "austen-0880.wav")
    (order,) = client.transcribe(file)
    client.wait(order)
    while client.call("GET", "/file")["files"][0]["status"] == "converting":
        time.sleep(0.05)
    assert exposed(storage) == {}
    path = {"WHISPER_SERVICE_STORAGE_PATH": str(storage)}
    assert run("create-admin", "root", typed=PASSWORD, **path).returncode == 0
    assert run("backup", str(backup), **path).returncode == 0
    assert server.stop() == 0
    for folder in (storage, backup):
        assert exposed(folder) == {}
    for path in (backup, *backup.rglob("*")):  # as one that was unpacked from an archive
        path.chmod(0o755 if path.is_dir() else 0o644)
    path = {"WHISPER_SERVICE_STORAGE_PATH": str(again)}
    again.mkdir()
    assert run("restore", str(backup), **path).returncode == 0
    assert exposed(again) == {}
    assert run("check", **path).stdout == "No problems found.\n"


@pytest.mark.usefixtures("_generous")
def test_a_start_closes_what_was_open(stub_models: Path, tmp_path: Path) -> None:
    assert start_server(tmp_path, stub_models).stop() == 0
    make(tmp_path, "service-v1.db", "notes.txt")
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    assert start_server(tmp_path, stub_models).stop() == 0
    assert exposed(tmp_path).keys() == {str(tmp_path / "notes.txt")}


def test_a_file_system_without_permissions_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    storage = Storage(tmp_path / "storage")
    storage.root.chmod(0o755)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refuse)
    storage_folder.make_private(storage.root)
    assert "Other users still have access to storage: Operation not permitted" in caplog.text


def test_models_are_for_every_user_of_the_machine(tmp_path: Path) -> None:
    """`make model` is run as root for a service that has a user of its own."""
    before = os.umask(0o022)
    try:
        failure("get-model", "ggml-none", WHISPER_SERVICE_MODELS_PATH=str(tmp_path / "models"))
    finally:
        os.umask(before)
    assert (tmp_path / "models").stat().st_mode & 0o777 == 0o755


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    make(tmp_path, "files")
    with pytest.raises(CommandError, match=f"Cannot write to {tmp_path}: Not a directory"):
        Storage(tmp_path)
