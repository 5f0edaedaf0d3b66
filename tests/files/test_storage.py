from pathlib import Path

import pytest
from blake3 import blake3

from whisper_service import ids
from whisper_service.errors import CommandError
from whisper_service.files.storage import Storage, StoredFile


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "storage")


def everything(storage: Storage) -> set[str]:
    return {str(path.relative_to(storage.root)) for path in storage.root.rglob("*")}


def test_an_upload_is_hashed_as_it_is_written(storage: Storage) -> None:
    incoming = storage.receive(10)
    incoming.write(b"hello")
    incoming.write(b"you")
    incoming.close()
    assert incoming.path.read_bytes() == b"helloyou"
    assert incoming.hash == blake3(b"helloyou").hexdigest()
    assert (incoming.size, incoming.too_large) == (8, False)
    incoming.discard()
    assert everything(storage) == {"avatars", "files", "tmp", "uploads"}


def test_no_more_is_written_than_allowed(storage: Storage) -> None:
    incoming = storage.receive(10)
    for _ in range(1000):
        incoming.write(b"12345678")
    assert incoming.too_large
    incoming.close()
    assert incoming.path.stat().st_size <= 10
    incoming.discard()


def test_delete_takes_all_and_twice_is_fine(storage: Storage) -> None:
    uuid = ids.uuid7()
    incoming = storage.receive(10)
    incoming.close()
    storage.place(incoming.path, storage.original(uuid))
    assert storage.original(uuid).exists()
    storage.delete(uuid)
    storage.delete(uuid)
    assert everything(storage) == {"avatars", "files", "tmp", "uploads"}


def test_the_sweep_keeps_what_is_known(storage: Storage) -> None:
    kept, orphan = ids.uuid7(), ids.uuid7()
    for uuid in (kept, orphan):
        source = storage.temporary()
        source.write_bytes(b"x")
        storage.place(source, storage.original(uuid))
    storage.temporary().write_bytes(b"left by a killed upload")
    storage.temporary().mkdir()
    storage.sweep([StoredFile(kept, is_converted=False, has_wav=False)], [])
    assert everything(storage) == {
        "avatars",
        "files",
        "tmp",
        "uploads",
        f"files/{kept}",
        f"files/{kept}/original",
    }


def test_nobody_else_may_look(storage: Storage) -> None:
    assert storage.root.stat().st_mode & 0o077 == 0


def test_one_service_owns_the_folder(storage: Storage) -> None:
    with storage.owned(), pytest.raises(CommandError, match="Another service is running"):
        with Storage(storage.root).owned():
            pass
    with storage.owned():
        pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CommandError, match="Cannot write to .*file/storage"):
        Storage(tmp_path / "file" / "storage")
