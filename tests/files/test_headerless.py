"""Samples without a header become a WAV."""

from pathlib import Path

import pytest

from tests.support.harness import seeded
from tests.support.recordings import as_wav, sound
from whisper_service.errors import InvalidRequest, StorageFull
from whisper_service.files import headerless
from whisper_service.files.storage import IncomingFile, Storage
from whisper_service.files.uploads import RejectedFile

SAMPLES = sound(seeded(), 0.5)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "storage")


def receive(storage: Storage, samples: bytes, max_bytes: int = 2**20) -> IncomingFile:
    incoming = storage.receive(max_bytes)
    incoming.write(samples)
    incoming.close()
    return incoming


def left(storage: Storage) -> list[Path]:
    return list(storage.temporary_folder.iterdir())


@pytest.mark.parametrize("piece", [1, 1000, 2**20])
def test_the_wav_is_what_python_writes(
    storage: Storage, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headerless, "PIECE_BYTES", piece)
    incoming = receive(storage, SAMPLES)
    with headerless.as_wav(incoming, storage, 10) as wav:
        assert wav.path.read_bytes() == as_wav(SAMPLES)
        again = storage.receive(2**20)
        again.write(as_wav(SAMPLES))
        assert (wav.size, wav.hash) == (again.size, again.hash)
        again.discard()
    assert left(storage) == [incoming.path]


def test_a_file_of_the_largest_size_has_room_for_its_header(storage: Storage) -> None:
    incoming = receive(storage, SAMPLES, len(SAMPLES))
    with headerless.as_wav(incoming, storage, 10) as wav:
        assert not wav.too_large


@pytest.mark.parametrize(
    ("size", "error", "kind"),
    [
        (0, "The file is empty", RejectedFile),
        (1, "Samples have two bytes each, but their number of bytes is odd", InvalidRequest),
        (32_001, "Samples have two bytes each, but their number of bytes is odd", InvalidRequest),
        (64_002, "The recording is longer than 2 seconds", InvalidRequest),
        (100_002, "The file is larger than 100000 bytes", RejectedFile),
    ],
)
def test_what_is_no_recording_is_refused(
    storage: Storage, size: int, error: str, kind: type[Exception]
) -> None:
    incoming = receive(storage, bytes(size), 100_000)
    with pytest.raises(kind, match=error), headerless.as_wav(incoming, storage, 2):
        pass
    assert left(storage) == [incoming.path]
    with headerless.as_wav(receive(storage, bytes(64_000)), storage, 2):
        pass


def test_a_full_disk_leaves_nothing(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    incoming = receive(storage, SAMPLES)
    monkeypatch.setattr(Storage, "has_room", lambda _, size: size < 1000)
    with pytest.raises(StorageFull), headerless.as_wav(incoming, storage, 10):
        pass
    assert left(storage) == [incoming.path]


def test_the_longest_that_can_be_configured_has_a_header() -> None:
    size = 2 * 16_000 * 36 * 3600
    assert headerless._header(size)[40:] == size.to_bytes(4, "little")
