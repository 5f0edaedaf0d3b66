"""Models that come to a worker in pieces."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import NamedTuple

import pytest
from blake3 import blake3

from tests.support.harness import seeded
from whisper_service.cluster.model_files import RECEIVED, RESERVE_BYTES, ModelFiles
from whisper_service.errors import StorageFull

CONTENT = seeded().randbytes(100_000)
DIGEST = blake3(CONTENT).hexdigest()
SIZE, PIECE = len(CONTENT), 30_000


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
def models(tmp_path: Path) -> ModelFiles:
    return ModelFiles(tmp_path)


def piece(offset: int) -> bytes:
    return CONTENT[offset : offset + PIECE]


def send(models: ModelFiles) -> list[int]:
    """Send what isn't there yet, as the service does; list what was there after each piece."""
    have = [models.append(DIGEST, SIZE, 0, b"")]
    while have[-1] < SIZE:
        have.append(models.append(DIGEST, SIZE, have[-1], piece(have[-1])))
    return have


def content(models: ModelFiles) -> bytes:
    path = models.path(DIGEST)
    assert path
    return path.read_bytes()


def test_a_model_comes_in_pieces(models: ModelFiles, tmp_path: Path) -> None:
    assert send(models) == [0, 30_000, 60_000, 90_000, SIZE]
    assert models.digests() == [DIGEST]
    assert content(models) == CONTENT
    assert [path.name for path in (tmp_path / RECEIVED).iterdir()] == [f"{DIGEST}.bin"]


def test_it_is_not_there_before_it_is_complete(models: ModelFiles) -> None:
    models.append(DIGEST, SIZE, 0, piece(0))
    assert models.digests() == []
    assert models.path(DIGEST) is None


def test_it_is_resumed_after_a_restart(models: ModelFiles, tmp_path: Path) -> None:
    models.append(DIGEST, SIZE, 0, piece(0))
    again = ModelFiles(tmp_path)
    assert send(again) == [30_000, 60_000, 90_000, SIZE]
    assert content(again) == CONTENT


def test_after_a_restart_it_is_known(models: ModelFiles, tmp_path: Path) -> None:
    send(models)
    again = ModelFiles(tmp_path)
    assert send(again) == [SIZE]
    assert again.digests() == [DIGEST]


def test_the_workers_own_models_are_known(tmp_path: Path) -> None:
    (tmp_path / "ggml-own.bin").write_bytes(CONTENT)
    models = ModelFiles(tmp_path)
    assert models.path(DIGEST) == tmp_path / "ggml-own.bin"
    assert send(models) == [SIZE]


@pytest.mark.parametrize("offset", [0, 29_999, 30_001, 60_000])
def test_a_piece_of_another_place_is_not_taken(models: ModelFiles, offset: int) -> None:
    models.append(DIGEST, SIZE, 0, piece(0))
    assert models.append(DIGEST, SIZE, offset, piece(offset)) == 30_000
    assert send(models) == [30_000, 60_000, 90_000, SIZE]
    assert content(models) == CONTENT


@pytest.mark.parametrize("wrong", [bytes(SIZE), CONTENT + b"more"])
def test_a_wrong_content_is_thrown_away(models: ModelFiles, tmp_path: Path, wrong: bytes) -> None:
    assert models.append(DIGEST, SIZE, 0, wrong) == 0
    assert list((tmp_path / RECEIVED).iterdir()) == []
    assert models.digests() == []
    assert send(models)[-1] == SIZE
    assert content(models) == CONTENT


@pytest.mark.parametrize(
    "name", ["", "../../../etc/passwd", DIGEST.upper(), DIGEST[1:], f"{DIGEST}\n", f"/{DIGEST}"]
)
def test_only_a_hash_names_a_model(models: ModelFiles, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a hash"):
        models.append(name, SIZE, 0, piece(0))
    assert [path.name for path in tmp_path.iterdir()] == [RECEIVED]
    assert list((tmp_path / RECEIVED).iterdir()) == []


def test_a_model_that_would_fill_the_disk_is_refused(
    models: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = RESERVE_BYTES + SIZE - 1
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**40, 2**40 - free, free))
    with pytest.raises(StorageFull, match="The worker's disk is full"):
        models.append(DIGEST, SIZE, 0, piece(0))
    assert list((tmp_path / RECEIVED).iterdir()) == []


def test_what_is_there_needs_no_more_room(
    models: ModelFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    models.append(DIGEST, SIZE, 0, piece(0))
    free = RESERVE_BYTES + SIZE - PIECE
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**40, 2**40 - free, free))
    assert models.append(DIGEST, SIZE, PIECE, piece(PIECE)) == 2 * PIECE


def test_two_may_send_the_same_model(models: ModelFiles) -> None:
    start = Barrier(2)

    def one(_: int) -> int:
        start.wait(10)
        return send(models)[-1]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(one, range(2))) == [SIZE, SIZE]
    assert content(models) == CONTENT
    assert models.digests() == [DIGEST]


def test_a_model_that_was_removed_is_taken_again(models: ModelFiles) -> None:
    send(models)
    path = models.path(DIGEST)
    assert path
    path.unlink()
    assert models.digests() == []
    assert models.path(DIGEST) is None
    assert send(models)[0] == 0
    assert content(models) == CONTENT
