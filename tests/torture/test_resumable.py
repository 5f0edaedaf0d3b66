"""A large file over a line that is cut, to a service that is killed, again and again."""

import shutil
import time
from pathlib import Path

import pytest
from blake3 import blake3

from tests.support.database import rows
from tests.support.harness import Figure, scale, seeded
from tests.support.live import Client
from tests.support.tus import Sender
from tests.support.unreliable import failures, unreliable
from tests.support.uploads import MIB, Recording
from tests.support.waiting import until

SIZE = scale(1024, 64) * MIB
CUTS, KILLS = scale(20, 4), scale(3, 1)


def test_a_film_over_a_bad_line(stub_models: Path, tmp_path: Path, figure: Figure) -> None:
    if shutil.disk_usage(tmp_path).free < 4 * SIZE:
        pytest.skip("the disk is too full")
    film, recording = tmp_path / "film.wav", Recording(SIZE)
    with film.open("wb") as file:
        file.writelines(recording)
    with unreliable(tmp_path / "storage", stub_models) as (service, proxy):
        client = Client(service.server, "ann")
        sender = Sender(lambda: proxy.url, client.headers["Authorization"], film)
        proxy.events += failures(seeded(), service, SIZE, CUTS, KILLS)
        begun = time.monotonic()
        found = sender.run()
        seconds = time.monotonic() - begun
        service.note_memory()
        assert proxy.events == []
        original = service.storage / "files" / found["file"]["uuid"] / "original"
        assert found["file"]["hash"] == recording.hash == hash_of(original)
        assert found["file"]["status"]["uploaded"]
        assert rows(service.storage, "SELECT count(*) FROM file") == [(1,)]
        assert not list((service.storage / "uploads").iterdir())
        client.url = f"{service.server.url}/api/v1"
        client.call("DELETE", f"/file/{found['file']['uuid']}")
        until(lambda: not list((service.storage / "tmp").iterdir()))
    figure(
        f"{SIZE // MIB} MiB in one resumable upload, {CUTS} cuts, {KILLS} kill -9",
        "the same BLAKE3; memory does not grow with the file",
        f"the same, {sender.resumptions} resumptions in {seconds:.0f} s, "
        f"{(proxy.passed - SIZE) / MIB:.1f} MiB sent twice, "
        f"{max(service.peaks) // MIB} MiB of memory at most",
    )
    assert max(service.peaks) < 200 * MIB
    assert proxy.passed < SIZE + (CUTS + KILLS) * 8 * MIB


def hash_of(path: Path) -> str:
    digest = blake3()
    with path.open("rb") as file:
        while data := file.read(MIB):
            digest.update(data)
    return digest.hexdigest()
