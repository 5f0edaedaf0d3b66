"""Uploads that are large, and many at once."""

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from tests.support.database import rows
from tests.support.live import Client, LiveServer, start_server
from tests.support.paths import DATA
from tests.support.processes import children
from tests.support.uploads import GIB, MIB, Recording, observed, send
from tests.support.waiting import until

AT_ONCE = 50


def recordings(server: LiveServer) -> list[Path]:
    return [path for name in ("files", "tmp") for path in (server.storage / name).iterdir()]


@pytest.fixture
def server(stub_models: Path, tmp_path: Path) -> Iterator[LiveServer]:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    variables = {"TMPDIR": str(temporary), "WHISPER_SERVICE_SERVER_THREADS": "8"}
    server = start_server(tmp_path / "storage", stub_models, **variables)
    yield server
    assert server.stop() == 0


@pytest.mark.torture
def test_a_gibibyte_is_written_twice_and_never_held(server: LiveServer, tmp_path: Path) -> None:
    if shutil.disk_usage(tmp_path).free < 5 * GIB:
        pytest.skip("less than 5 GiB of disk is free")
    client = Client(server, "ann")
    client.upload(DATA / "jfk.wav")  # what is loaded at the first upload is no part of the growth
    client.call("DELETE", f"/file/{client.call('GET', '/file')['files'][0]['uuid']}")
    settle(server)
    changed = (tmp_path / "temporary").stat().st_mtime_ns
    with observed(server) as process:
        memory, written = process.peak_memory(), process.bytes_written()
        recording = Recording(GIB)
        answer = send(server, client, recording)
        memory, written = process.peak_memory() - memory, process.bytes_written() - written
    assert answer["hash"] == recording.hash
    assert answer["status"] == {"existed": False, "uploaded": True}
    assert memory < 64 * MIB
    assert GIB <= written <= 2.1 * GIB

    places = {path: size for path, size in process.written.items() if size >= MIB}
    assert max(places.values()) >= GIB
    inside = str(server.storage)
    assert all(path.startswith(inside) for path in places), places
    assert not list((tmp_path / "temporary").iterdir())
    assert (tmp_path / "temporary").stat().st_mtime_ns == changed

    original = server.storage / "files" / answer["uuid"] / "original"
    assert original.stat().st_size == GIB
    until(lambda: sum(path.stat().st_size for path in (server.storage / "tmp").iterdir()) >= MIB)
    assert children(server.process.pid, "ffmpeg")
    client.call("DELETE", f"/file/{answer['uuid']}")
    until(lambda: not children(server.process.pid, "ffmpeg"), 2)
    settle(server)


def settle(server: LiveServer) -> None:
    """Wait until nothing is left of any recording."""
    until(lambda: not recordings(server))


def test_identical_uploads_at_once_make_one_file(server: LiveServer) -> None:
    client = Client(server, "ann")
    content = (DATA / "austen-0930.wav").read_bytes()
    together = threading.Barrier(AT_ONCE)

    def upload(number: int) -> Any:
        together.wait()
        files = {"file": (f"{number}.wav", content)}
        return client.call("POST", "/file", files=files)["files"][0]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(upload, range(AT_ONCE)))
    assert len({answer["uuid"] for answer in answers}) == 1
    assert [answer["status"]["uploaded"] for answer in answers].count(True) == 1
    assert {answer["hash"] for answer in answers} == {blake3(content).hexdigest()}
    assert rows(server.storage, "SELECT uuid FROM file") == [(answers[0]["uuid"],)]
    assert [path.name for path in (server.storage / "files").iterdir()] == [answers[0]["uuid"]]
    assert client.call("GET", "/file")["pagination"]["total_count"] == 1
    until(lambda: client.call("GET", "/file")["files"][0]["status"] == "ready")
    assert list((server.storage / "tmp").iterdir()) == []
