"""The memory that a long recording takes, and the time that a large upload takes."""

import http.client
import os
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from blake3 import blake3

from benchmarks import recordings
from benchmarks.report import elapsed, print_ratio
from benchmarks.service import Client, running
from tests.support.paths import DATA

HOUR = 3600
GIB = 1024**3
PIECE = 1024**2


def memory(models: Path, model: str, folder: Path) -> None:
    """Peak memory of the service with its engines: three hours against three minutes."""
    peaks = []
    for seconds in (180, 3 * HOUR):
        recording = recordings.long(folder, recordings.dense(folder), seconds)
        with running(folder / f"memory-{seconds}", models) as server:
            user = Client(server.url, "memory")
            file = user.upload(recording.path)
            (uuid,) = user.order(file, model, ["verbose_json"])
            user.wait(uuid)
            peaks.append(sum(_peak(pid) for pid in _family(server.process.pid)) / 1024)
    print_ratio("memory, 3 hours over 3 minutes", [(peaks[1], peaks[0])], "1.1", " MiB")


def _family(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").iterdir()
    children = [child for one in threads for child in (one / "children").read_text().split()]
    return [pid, *map(int, children)]


def _peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def uploads(url: str, folder: Path, pairs: int) -> None:
    """Time an upload of 1 GiB against copying the file and hashing the copy."""
    source = folder / "noise.wav"
    jfk = (DATA / "jfk.wav").read_bytes()
    noise = os.urandom(PIECE)
    rows = []
    user = Client(url, "upload")
    for number in range(pairs):
        with source.open("wb") as file:
            file.write(jfk[:44] + number.to_bytes(4, "little"))
            for _ in range(GIB // PIECE):
                file.write(noise)
        rows.append((elapsed(lambda: _send(user, source)), elapsed(lambda: _copy(source))))
        for each in user.call("GET", "/file")["files"]:
            user.call("DELETE", f"/file/{each['uuid']}")
    print_ratio("upload of 1 GiB over cp, sync and b3sum", rows, "3")


def _send(user: Client, source: Path) -> None:
    parts = urlsplit(user.url)
    head = b'--b\r\nContent-Disposition: form-data; name="f"; filename="noise.wav"\r\n\r\n'
    end = b"\r\n--b--\r\n"
    connection = http.client.HTTPConnection(parts.netloc)
    connection.putrequest("POST", f"{parts.path}/file")
    connection.putheader("Authorization", str(user.session.headers["Authorization"]))
    connection.putheader("Content-Type", "multipart/form-data; boundary=b")
    connection.putheader("Content-Length", str(len(head) + source.stat().st_size + len(end)))
    connection.endheaders(head)
    with source.open("rb") as file:
        connection.sock.sendfile(file)
    connection.send(end)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    connection.close()


def _copy(source: Path) -> None:
    target = source.with_suffix(".copy")
    subprocess.run(["/bin/cp", source, target], check=True)
    subprocess.run(["/bin/sync", target], check=True)  # as the service, which keeps what it took
    blake3(max_threads=1).update_mmap(target).hexdigest()
    target.unlink()
