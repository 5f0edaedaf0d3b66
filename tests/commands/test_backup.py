"""A backup holds all that the service said yes to before it began, and it comes back."""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from blake3 import blake3

from tests.support.commands import failure, run
from tests.support.database import rows
from tests.support.disk import MIB, as_mounter, small_disk
from tests.support.harness import assert_caught, scale, seeded
from tests.support.paths import DATA
from tests.support.recordings import as_wav, sound
from tests.support.service import Service
from tests.support.site import Client, Promises, Site
from tests.support.tus import append, create
from tests.support.waiting import until
from whisper_service import db, ids
from whisper_service.commands import backup
from whisper_service.errors import CommandError
from whisper_service.files.storage import Storage

CUSTOMERS = 3
FIRST = scale(60, 5)  # orders that were accepted before the backup begins


def live(client: Client, number: int, promises: Promises) -> None:
    random = seeded(number)
    while not client.site.over.is_set():
        recording = sound(random, random.choice((0.3, 1.1, 4.0)))
        uuid = client.upload(recording)
        promises.sounds[uuid] = recording
        ordered = client.order(uuid, format="srt")
        promises.orders += ordered
        client.wait(*ordered)


@contextmanager
def busy(folder: Path, promises: Promises) -> Iterator[Site]:
    with Site(folder, seconds=0.02) as site, ThreadPoolExecutor(CUSTOMERS) as pool:
        clients = [Client(site, f"customer-{number}") for number in range(CUSTOMERS)]
        lives = [
            pool.submit(live, client, number, promises) for number, client in enumerate(clients)
        ]
        try:
            until(lambda: len(promises.orders) >= FIRST or any(life.done() for life in lives))
            yield site
        finally:
            site.over.set()
            wait(lives)
            for client in clients:
                client.close()
        for life in lives:
            life.result()
        until(lambda: is_converted(site))


def command(name: str, storage: Path, *arguments: Path) -> str:
    """Run a command that must succeed with one line, and return that."""
    environ = {"WHISPER_SERVICE_STORAGE_PATH": str(storage)}
    done = run(name, *map(str, arguments), **environ)
    assert (done.returncode, done.stderr) == (0, "")
    (line,) = done.stdout.splitlines()
    return line


def back_up(storage: Path, target: Path) -> None:
    assert command("backup", storage, target) == f"Backed up to {target}."


def attack(folder: Path, back_up: Callable[[Path, Path], None]) -> None:
    """Back up a busy service, bring that back elsewhere, and ask there for what was promised."""
    promises, target = Promises(), folder / "backup"
    with busy(folder / "busy", promises) as site:
        promised = Promises(dict(promises.sounds), list(promises.orders))
        back_up(site.storage, target)
    again = Site(folder / "again")
    restored = f"Restored to {again.storage}."
    assert command("restore", again.storage, target) == restored
    assert command("check", again.storage) == "No problems found."
    with again:
        for order in promised.orders:
            until(lambda order=order: is_completed(f"{again.url()}/transcribe/{order}"))
        until(lambda: is_converted(again))
        for uuid, recording in promised.sounds.items():
            query = f"SELECT hash FROM file WHERE uuid = '{uuid}'"  # noqa: S608
            assert rows(again.storage, query) == [(blake3(as_wav(recording)).hexdigest(),)]
            here = requests.get(f"{again.url()}/file/{uuid}", timeout=10)
            assert here.ok
            assert here.content == (site.storage / "files" / uuid / "converted").read_bytes()


def is_converted(site: Site) -> bool:
    return not rows(site.storage, "SELECT 1 FROM file WHERE status = 'converting'")


def is_completed(url: str) -> bool:
    answer = requests.get(url, timeout=10)
    assert answer.ok, answer.text
    assert answer.json()["status"] != "failed"
    return bool(answer.json()["status"] == "completed")


@pytest.mark.torture
def test_a_busy_service_is_backed_up_whole(tmp_path: Path) -> None:
    attack(tmp_path, back_up)


@pytest.mark.torture
def test_a_copy_of_the_files_alone_is_no_backup(tmp_path: Path) -> None:
    def careless(storage: Path, target: Path) -> None:
        target.mkdir()
        shutil.copy(storage / "service.db", target)
        shutil.copytree(storage / "files", target / "files")

    assert_caught(lambda: attack(tmp_path, careless))


def contents(folder: Path) -> dict[str, bytes]:
    """Read every file but the database's and the lock of its writers."""
    database = {"service", "write"}
    files = [path for path in folder.rglob("*") if path.is_file() and path.stem not in database]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def converted(service: Service) -> str:
    uuid = str(service.register().upload(DATA / "austen-0880.wav")[0]["uuid"])
    assert service.convert_once()
    return uuid


def test_recordings_are_linked_where_that_is_possible(service: Service, tmp_path: Path) -> None:
    uuid, target = converted(service), tmp_path / "backup"
    backup.back_up(service.storage, target)
    copy = Storage(target).converted(uuid)
    assert copy.samefile(service.storage.converted(uuid))
    service.register("bob").upload(DATA / "jfk.wav")
    assert contents(target).keys() == {f"files/{uuid}/converted", f"files/{uuid}/speech.wav"}


def test_an_unfinished_upload_begins_again(service: Service, tmp_path: Path) -> None:
    ann = service.register()
    uuid = create(ann, 100)
    append(ann, uuid, 0, b"x" * 50)
    target = tmp_path / "backup"
    backup.back_up(service.storage, target)
    assert contents(target) == {}
    again = Storage(tmp_path / "again")
    backup.restore(target, again)
    assert again.uploads.size(uuid) == 0
    (found,) = rows(again.root, "SELECT uuid, file_uuid, error FROM upload")
    assert found == (uuid, None, None)


def test_recordings_are_copied_to_another_disk(
    service: Service, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    as_mounter(request)
    converted(service)
    before = contents(service.storage.root)
    with small_disk(tmp_path / "disk", 8 * MIB) as disk:
        backup.back_up(service.storage, disk / "backup")
        again = Storage(tmp_path / "again")
        backup.restore(disk / "backup", again)
        assert contents(disk / "backup") == before
        assert contents(again.root) == before | {"lock": b""}


def test_a_backup_that_does_not_fit_leaves_nothing(
    service: Service, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    as_mounter(request)
    service.register().upload(DATA / "jfk.wav")
    for size in (MIB // 8, 3 * MIB // 8):  # too small for the recording, and then for the database
        with small_disk(tmp_path / str(size), size) as disk:
            with pytest.raises(CommandError, match="No space left on device|is full"):
                backup.back_up(service.storage, disk / "backup")
            assert not list(disk.iterdir())


@pytest.mark.parametrize("changes", [1, 99])
def test_what_is_converted_meanwhile_is_copied_once_more(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: int
) -> None:
    names, ann = iter(sorted(DATA.glob("*.wav"))[:changes]), service.register()
    copied = 0

    def snapshot(source: Path, target: Path) -> None:
        """Add a file after the first look at the folder, and convert it before the second."""
        nonlocal copied
        copied += 1
        if path := next(names, None):
            ann.upload(path)
        db_snapshot(source, target)
        while service.convert_once():
            pass

    db_snapshot = db.snapshot
    monkeypatch.setattr(db, "snapshot", snapshot)
    target = tmp_path / "backup"
    if changes == 1:
        backup.back_up(service.storage, target)
        assert copied == 2
        assert contents(target) == contents(service.storage.root)
    else:
        with pytest.raises(CommandError, match="try again"):
            backup.back_up(service.storage, target)
        assert copied == backup.ATTEMPTS
        assert not target.exists()


def test_only_a_new_folder_is_backed_up_into(service: Service, tmp_path: Path) -> None:
    environ = {"WHISPER_SERVICE_STORAGE_PATH": str(service.storage.root)}
    (tmp_path / "there").mkdir()
    line = f"error: {tmp_path}/there must be a new folder: File exists"
    assert failure("backup", str(tmp_path / "there"), **environ) == line
    environ["WHISPER_SERVICE_STORAGE_PATH"] = str(tmp_path / "typo")
    line = f"error: {tmp_path}/typo holds no service.db"
    assert failure("backup", str(tmp_path / "new"), **environ) == line


def test_a_service_is_never_restored_over(service: Service, tmp_path: Path) -> None:
    converted(service)
    target = tmp_path / "backup"
    backup.back_up(service.storage, target)
    with pytest.raises(CommandError, match="already holds a service"):
        backup.restore(target, service.storage)
    empty = Storage(tmp_path / "empty")
    with empty.owned(), pytest.raises(CommandError, match="Another service is running"):
        backup.restore(target, empty)
    with pytest.raises(CommandError, match="holds no service.db"):
        backup.restore(tmp_path / "nothing", empty)
    assert not contents(empty.root).keys() - {"lock"}
    half = Storage(tmp_path / "half")
    half.place(_file(tmp_path), half.original(ids.uuid7()))
    with pytest.raises(CommandError, match="already holds a service"):
        backup.restore(target, Storage(half.root))


def _file(folder: Path) -> Path:
    path = folder / "file"
    path.write_bytes(b"x")
    return path
