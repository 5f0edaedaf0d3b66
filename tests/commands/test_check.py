"""What `app.py check` finds, and what it calls it."""

import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from io import BytesIO
from pathlib import Path

import pytest

from tests.support.commands import run
from tests.support.jobs import submit
from tests.support.paths import DATA
from tests.support.pictures import PNG
from tests.support.service import Service, in_process, settings_in
from tests.support.tus import create
from whisper_service import db
from whisper_service.commands import check
from whisper_service.config import Config
from whisper_service.db import write_transaction
from whisper_service.errors import CommandError
from whisper_service.files.storage import Storage
from whisper_service.tables import File, User

Damage = Callable[[Storage, str, str], object]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def change(path: Path) -> None:
    """Change a byte in the middle, and nothing of the length."""
    found = bytearray(path.read_bytes())
    found[len(found) // 2] ^= 1
    path.write_bytes(found)


DAMAGES: dict[str, Damage] = {
    "ann has 500 tokens, the ledger says 989": lambda *_: User.update(token_balance=500).execute(),
    "File {ready}: converted is missing": lambda kept, ready, _: kept.converted(ready).unlink(),
    "File {ready}: speech.wav is missing": lambda kept, ready, _: kept.speech(ready).unlink(),
    "File {ready}: speech.wav is truncated": lambda kept, ready, _: cut(kept.speech(ready)),
    "File {ready}: converted does not have its recorded size": lambda kept, ready, _: cut(
        kept.converted(ready)
    ),
    "File {new}: original is missing": lambda kept, _, new: kept.original(new).unlink(),
    "File {new}: original does not have its recorded size": lambda kept, _, new: cut(
        kept.original(new)
    ),
    "File {new}: original differs from the upload": lambda kept, _, new: change(kept.original(new)),
    "Other users have access to files or folders (1)": lambda kept, ready, _: kept.speech(
        ready
    ).chmod(0o640),
    "The avatar of ann is missing": lambda kept, *_: kept.avatar(User.get().avatar_uuid).unlink(),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, stub_models: Path) -> Path:
    """A storage folder with a file that was transcribed and one that waits."""
    settings = settings_in(tmp_path_factory.mktemp("sound"), stub_models)
    with in_process(settings) as service:
        ann = service.register("ann")
        submit(service, ann)
        service.work()
        ann.call("PATCH", "/user", data={"avatar": (BytesIO(PNG), "me.png")})
        ann.upload(DATA / "austen-0880.wav")
    return settings.storage.path


@pytest.fixture
def settings(settings: Config, sound: Path) -> Config:
    shutil.copytree(sound, settings.storage.path)
    return settings


@pytest.fixture
def files(service: Service) -> tuple[str, str]:
    """Return the uuids of the file that was transcribed and of the one that waits."""
    ready, new = (file.uuid for file in File.select().order_by(File.id))
    return ready, new


def test_nothing_is_wrong_with_a_sound_service(service: Service, files: tuple[str, str]) -> None:
    assert list(check.find_problems(service.storage)) == []


@pytest.mark.parametrize("line", DAMAGES)
def test_each_damage_is_named(service: Service, files: tuple[str, str], line: str) -> None:
    ready, new = files
    with write_transaction():
        DAMAGES[line](service.storage, ready, new)
    (found,) = check.find_problems(service.storage)
    assert found.startswith(line.format(ready=ready, new=new))


def test_an_upload_that_grew_too_large_is_named(service: Service, files: tuple[str, str]) -> None:
    uuid = create(service.register("bob"), 5)
    path = service.storage.uploads.path(uuid)
    path.touch(mode=0o600)
    path.write_bytes(b"12345")
    assert list(check.find_problems(service.storage)) == []
    path.write_bytes(b"123456")
    line = f"Upload {uuid} has more bytes than were declared"
    assert list(check.find_problems(service.storage)) == [line]


def test_a_row_of_nobody_is_named(service: Service, files: tuple[str, str]) -> None:
    with closing(sqlite3.connect(service.storage.database)) as careless:
        values = "(9, hex(randomblob(16)), 77, 'x', 'h', '', '', 1)"
        careless.execute(f"INSERT INTO api_token VALUES {values}")  # noqa: S608
        careless.commit()
    (found,) = check.find_problems(service.storage)
    assert found.startswith("The database is damaged: foreign_key_check: api_token 9 user")


@pytest.mark.parametrize("page", range(2, 30, 7))
def test_a_damaged_page_is_named(service: Service, files: tuple[str, str], page: int) -> None:
    path = service.storage.database
    db.database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    db.database.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xa5" * 4096)
    try:
        db.open_database(path)
        found = list(check.find_problems(service.storage))
    except CommandError as error:  # it is in the tables' own description
        found = [str(error)]
    assert found
    assert re.match(r"The database (is damaged|service.db cannot be used): ", found[0])


def test_the_command_prints_a_line_each_and_fails(service: Service, files: tuple[str, str]) -> None:
    storage = {"WHISPER_SERVICE_STORAGE_PATH": str(service.storage.root)}
    done = run("check", **storage)
    assert (done.returncode, done.stdout, done.stderr) == (0, "No problems found.\n", "")
    for uuid in files:
        service.storage.delete(uuid)
    done = run("check", **storage)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 3
    assert done.stderr.startswith("error: 3 problems; ")


def test_a_damaged_database_is_one_line(service: Service, files: tuple[str, str]) -> None:
    db.database.close()
    path = service.storage.database
    path.write_bytes(path.read_bytes()[:4096] + b"\xa5" * (path.stat().st_size - 4096))
    storage = {
        "WHISPER_SERVICE_STORAGE_PATH": str(service.storage.root),
        "WHISPER_SERVICE_SERVER_PORT": "0",
    }
    for command in ([], ["check"], ["backup", str(path.with_name("backup"))]):
        done = run(*command, **storage)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ")
    assert not path.with_name("backup").exists()


def test_a_folder_without_a_service_is_not_well(tmp_path: Path) -> None:
    done = run("check", WHISPER_SERVICE_STORAGE_PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == f"error: {tmp_path} holds no service.db\n"
    assert not (tmp_path / "service.db").exists()


def test_what_is_deleted_or_converted_meanwhile_is_no_problem(
    service: Service, files: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    look = check._file_problems
    ready, new = files

    def late(file: File, storage: Storage):
        if file.uuid == ready:
            File.delete().where(File.uuid == ready).execute()
            storage.delete(ready)
        while service.convert_once():
            pass
        return look(file, storage)

    monkeypatch.setattr(check, "_file_problems", late)
    assert list(check.find_problems(service.storage)) == []
    assert File.get().uuid == new
