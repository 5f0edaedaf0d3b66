"""Large uploads, and what the service writes meanwhile."""

import http.client
import json
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from blake3 import blake3

from tests.support.live import TIMEOUT, Client, LiveServer
from tests.support.waiting import repeating

GIB = 1024**3
MIB = 1024**2
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
    """Upload in one stream of blocks, so that this process holds little of it."""
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


class Observed:
    """What a process writes, and the memory that it takes."""

    def __init__(self, server: LiveServer) -> None:
        self.folder = Path(f"/proc/{server.process.pid}")
        self.written: dict[str, int] = {}  # the largest size of each file open for writing

    def look(self) -> None:
        """Note which files it has open for writing."""
        for link in (self.folder / "fd").iterdir():
            with suppress(FileNotFoundError):
                self._look(link)

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
        """Return the bytes that the process wrote to files, without those to sockets."""
        counts = dict(line.split(": ") for line in (self.folder / "io").read_text().splitlines())
        return max(int(counts["write_bytes"]), int(counts["wchar"]))


@contextmanager
def observed(server: LiveServer) -> Iterator[Observed]:
    """Observe a process all the time."""
    process = Observed(server)
    with repeating(process.look, 0.02):
        yield process
