"""Uploads that are large, and many at once."""

import http.client
import json
import os
import shutil
import sqlite3
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
from blake3 import blake3

from tests.conftest import LiveServer, start_server
from tests.server.test_server import TIMEOUT, Client, children
from tests.support.speech import DATA

GIB = 1024**3
MIB = 1024**2
AT_ONCE = 50
BOUNDARY = "a-boundary"


@dataclass
class Recording:
    """A WAV of noise, in stereo at 44.1 kHz, made as it is sent."""

    size: int
    hash: str = ""
    noise: bytes = field(default_factory=lambda: os.urandom(MIB))

    def __iter__(self) -> Iterator[bytes]:
        digest = blake3()
        rate = (1, 2, 44_100, 176_400, 4, 16)
        data = self.size - 44
        head = struct.pack(
            "<4sI4s4sIHHIIHH4sI", b"RIFF", data + 36, b"WAVE", b"fmt ", 16, *rate, b"data", data
        )
        left = self.size
        for block in (head, *[self.noise] * (-(-data // MIB))):
            piece = block[:left]
            left -= len(piece)
            digest.update(piece)
            yield piece
        self.hash = digest.hexdigest()


def send(server: LiveServer, client: Client, recording: Recording) -> Any:
    """Upload in one stream, so that this process holds no more than a block."""
    head = (
        f"--{BOUNDARY}\r\n"
        'Content-Disposition: form-data; name="file"; filename="noise.wav"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    end = f"\r\n--{BOUNDARY}--\r\n".encode()
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=TIMEOUT)
    try:
        connection.putrequest("POST", "/api/v1/file")
        connection.putheader("Authorization", client.headers["Authorization"])
        connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
        connection.putheader("Content-Length", str(len(head) + recording.size + len(end)))
        connection.endheaders(head)
        for block in recording:
            connection.send(block)
        connection.send(end)
        response = connection.getresponse()
        text = response.read()
        assert response.status == 200, text
        return json.loads(text)["files"][0]
    finally:
        connection.close()


class Watch:
    """Looks, all the time, at which files a process has open to write."""

    def __init__(self, server: LiveServer) -> None:
        self.folder = Path(f"/proc/{server.process.pid}")
        self.written: dict[str, int] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(0.02):
            for link in (self.folder / "fd").iterdir():
                try:
                    self._look(link)
                except FileNotFoundError:
                    continue

    def _look(self, link: Path) -> None:
        target = str(link.readlink())
        lines = (self.folder / "fdinfo" / link.name).read_text().splitlines()
        flags = next(int(line.split()[1], 8) for line in lines if line.startswith("flags:"))
        if target.startswith("/") and flags & os.O_ACCMODE != os.O_RDONLY:
            size = link.stat().st_size
            self.written[target] = max(size, self.written.get(target, 0))

    def peak_memory(self) -> int:
        line = next(
            line for line in (self.folder / "status").read_text().splitlines() if "VmHWM" in line
        )
        return int(line.split()[1]) * 1024

    def bytes_written(self) -> int:
        """Tell what the process gave to the disk; what it sent into sockets is not in it."""
        counts = dict(line.split(": ") for line in (self.folder / "io").read_text().splitlines())
        return max(int(counts["write_bytes"]), int(counts["wchar"]))


def recordings(server: LiveServer) -> list[Path]:
    return [path for name in ("files", "tmp") for path in (server.storage / name).iterdir()]


@pytest.fixture
def server(tiny_en_model: Path, tmp_path: Path) -> Iterator[LiveServer]:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    variables = {"TMPDIR": str(temporary), "WHISPER_SERVICE_SERVER_THREADS": "8"}
    server = start_server(tmp_path / "storage", tiny_en_model.parent, **variables)
    yield server
    assert server.stop() == 0


def test_a_gibibyte_is_written_twice_and_never_held(server: LiveServer, tmp_path: Path) -> None:
    if shutil.disk_usage(tmp_path).free < 5 * GIB:
        pytest.skip("less than 5 GiB of disk is free")
    client = Client(server, "ann")
    client.upload(DATA / "jfk.wav")  # what is loaded at the first upload is no part of the growth
    client.call("DELETE", f"/file/{client.call('GET', '/file')['files'][0]['uuid']}")
    settle(server)
    changed = (tmp_path / "temporary").stat().st_mtime_ns
    with Watch(server) as watch:
        memory, written = watch.peak_memory(), watch.bytes_written()
        recording = Recording(GIB)
        answer = send(server, client, recording)
        memory, written = watch.peak_memory() - memory, watch.bytes_written() - written
    assert answer["hash"] == recording.hash
    assert answer["status"] == {"existed": False, "uploaded": True}
    assert memory < 64 * MIB
    assert GIB <= written <= 2.1 * GIB

    places = {path: size for path, size in watch.written.items() if size >= MIB}
    assert max(places.values()) >= GIB
    inside = str(server.storage)
    assert all(path.startswith(inside) for path in places), places
    assert not list((tmp_path / "temporary").iterdir())
    assert (tmp_path / "temporary").stat().st_mtime_ns == changed

    original = server.storage / "files" / answer["uuid"] / "original"
    assert original.stat().st_size == GIB
    deadline = time.monotonic() + 10
    while sum(path.stat().st_size for path in (server.storage / "tmp").iterdir()) < MIB:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert children(server.process.pid, "ffmpeg")
    client.call("DELETE", f"/file/{answer['uuid']}")
    deleted = time.monotonic()
    while children(server.process.pid, "ffmpeg"):
        assert time.monotonic() < deleted + 2
        time.sleep(0.02)
    settle(server)


def settle(server: LiveServer) -> None:
    """Wait until nothing is left of any recording."""
    deadline = time.monotonic() + 5
    while left := recordings(server):
        assert time.monotonic() < deadline, left
        time.sleep(0.02)


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
    connection = sqlite3.connect(server.storage / "service.db")
    try:
        assert connection.execute("SELECT uuid FROM file").fetchall() == [(answers[0]["uuid"],)]
    finally:
        connection.close()
    assert [path.name for path in (server.storage / "files").iterdir()] == [answers[0]["uuid"]]
    assert client.call("GET", "/file")["pagination"]["total_count"] == 1
    deadline = time.monotonic() + 10
    while client.call("GET", "/file")["files"][0]["status"] != "ready":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert list((server.storage / "tmp").iterdir()) == []
