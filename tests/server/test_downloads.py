"""Downloads from the running service, by readers who read and by readers who do not."""

import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.ffmpeg import run_ffmpeg
from tests.support.live import TIMEOUT, Client, LiveServer
from tests.support.waiting import until

READERS = 50
# More than a server and a kernel buffer for one reader, so that a design that writes in a thread
# is stuck in it.
LARGE = 40 * 1024**2


@dataclass
class Recording:
    """A large MP3 that is converted; `path` is the copy that a download returns."""

    uuid: str
    path: Path


@pytest.fixture(scope="module")
def recording(
    live_server: LiveServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Recording]:
    source = tmp_path_factory.mktemp("noise") / "noise.mp3"
    noise = "anoisesrc=r=44100:d=20"
    run_ffmpeg("-f", "lavfi", "-i", noise, "-ac", "2", "-b:a", "320k", "-write_xing", "0", source)
    frames = source.read_bytes()
    source.write_bytes(frames * -(-LARGE // len(frames)))
    client = Client(live_server, "listener")
    uuid = client.upload(source)
    until(lambda: client.call("GET", "/file")["files"][0]["status"] == "ready")
    yield Recording(uuid, live_server.storage / "files" / uuid / "converted")
    client.call("DELETE", f"/file/{uuid}")


def request(path: str, method: str = "GET", **headers: str) -> bytes:
    lines = [f"{method} /api/v1{path} HTTP/1.1", "Host: localhost"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


@contextmanager
def connected(server: LiveServer) -> Iterator[socket.socket]:
    """Connect with a small window, so that little of an answer is on its way unread."""
    address = urlsplit(server.url)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        connection.settimeout(TIMEOUT)
        connection.connect((address.hostname, address.port))
        yield connection


def answer(connection: socket.socket) -> tuple[bytes, bytes]:
    """Read to the end of the connection: the head and the body."""
    received = b"".join(iter(lambda: connection.recv(1 << 20), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    return head, body


def held(server: LiveServer) -> Counter[str]:
    """Count the sockets and the recordings that the server's process has open."""
    found: Counter[str] = Counter()
    for link in Path(f"/proc/{server.process.pid}/fd").iterdir():
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:"):
            found["sockets"] += 1
        if target.startswith(str(server.storage / "files")):
            found["recordings"] += 1
    return found


def settle(server: LiveServer, expected: Counter[str]) -> None:
    """Wait until no more is open than was."""
    until(lambda: held(server) <= expected)


@pytest.fixture
def idle(live_server: LiveServer) -> Counter[str]:
    """What is open when nobody is connected."""
    until(lambda: not held(live_server)["recordings"])
    time.sleep(0.2)  # connections of earlier tests
    return held(live_server)


def assert_healthy(server: LiveServer) -> None:
    for _ in range(10):
        response = requests.get(f"{server.url}/api/v1/health", timeout=TIMEOUT)
        assert response.json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("asked", "start", "length"),
    [
        (None, 0, None),
        ("bytes=0-", 0, None),
        ("bytes=5-9", 5, 5),
        ("bytes=20000001-30000000", 20_000_001, 10_000_000),
        ("bytes=-5", -5, 5),
    ],
)
def test_the_bytes_on_the_wire(
    live_server: LiveServer, recording: Recording, asked: str | None, start: int, length: int | None
) -> None:
    whole = recording.path.read_bytes()
    assert len(whole) > LARGE * 0.9
    start %= len(whole)
    expected = whole[start : None if length is None else start + length]
    headers = {"Connection": "close"} | ({"Range": asked} if asked else {})
    with connected(live_server) as connection:
        connection.sendall(request(f"/file/{recording.uuid}", **headers))
        head, body = answer(connection)
    assert head.split(b" ")[1] == (b"206" if asked else b"200")
    assert f"Content-Length: {len(expected)}\r\n".encode() in head + b"\r\n"
    assert body == expected


def test_one_connection_serves_part_after_part(
    live_server: LiveServer, recording: Recording
) -> None:
    """What players do; a byte too many or too few would garble the next answer."""
    whole = recording.path.read_bytes()
    url = f"{live_server.url}/api/v1/file/{recording.uuid}"
    with requests.Session() as session:
        for start, stop in [(0, 1), (1, 70_000), (5_000_000, 9_000_000), (len(whole) - 7, None)]:
            last = "" if stop is None else stop - 1
            part = session.get(url, headers={"Range": f"bytes={start}-{last}"}, timeout=TIMEOUT)
            assert part.status_code == 206
            assert part.content == whole[start:stop]
            head = session.head(url, timeout=TIMEOUT)
            assert head.headers["Content-Length"] == str(len(whole))
            same = {"If-None-Match": head.headers["ETag"]}
            unchanged = session.get(url, headers=same, timeout=TIMEOUT)
            assert (unchanged.status_code, unchanged.content) == (304, b"")
            behind = {"Range": f"bytes={len(whole)}-"}
            refused = session.get(url, headers=behind, timeout=TIMEOUT)
            assert refused.status_code == 416
            assert refused.headers["Content-Range"] == f"bytes */{len(whole)}"


@pytest.mark.parametrize("asked", ["bytes=0-", "bytes=1000-", None])
def test_readers_who_never_read_hold_nobody_up(
    live_server: LiveServer, recording: Recording, idle: Counter[str], asked: str | None
) -> None:
    headers = {"Range": asked} if asked else {}
    with ExitStack() as stack:
        for _ in range(READERS):
            connection = stack.enter_context(connected(live_server))
            connection.sendall(request(f"/file/{recording.uuid}", **headers))
            assert connection.recv(12) == f"HTTP/1.1 {206 if asked else 200}".encode()
        assert held(live_server)["recordings"] == READERS
        assert_healthy(live_server)
    settle(live_server, idle)


def test_readers_of_two_answers_who_never_read_hold_nobody_up(
    live_server: LiveServer, recording: Recording, idle: Counter[str]
) -> None:
    twice = request(f"/file/{recording.uuid}") + request(
        f"/file/{recording.uuid}", Range="bytes=0-"
    )
    with ExitStack() as stack:
        for _ in range(READERS):
            connection = stack.enter_context(connected(live_server))
            connection.sendall(twice)
            assert connection.recv(12) == b"HTTP/1.1 200"
        assert_healthy(live_server)
    settle(live_server, idle)


def test_a_reader_who_pauses_gets_everything(
    live_server: LiveServer, recording: Recording, idle: Counter[str]
) -> None:
    wanted = {"Range": "bytes=1000-", "Connection": "close"}
    with connected(live_server) as connection:
        connection.sendall(request(f"/file/{recording.uuid}", **wanted))
        time.sleep(1)
        _, body = answer(connection)
    assert body == recording.path.read_bytes()[1000:]
    settle(live_server, idle)


def test_answers_without_a_body_leave_nothing_open(
    live_server: LiveServer, recording: Recording, idle: Counter[str]
) -> None:
    path = f"/file/{recording.uuid}"
    url = f"{live_server.url}/api/v1{path}"
    tag = requests.head(url, timeout=TIMEOUT).headers["ETag"]
    size = recording.path.stat().st_size
    with ExitStack() as stack:
        for method, status, headers in [
            ("HEAD", 200, {}),
            ("HEAD", 200, {"Range": "bytes=5-"}),
            ("HEAD", 304, {"If_None_Match": tag}),
            ("GET", 304, {"If_None_Match": tag}),
            ("GET", 416, {"Range": f"bytes={size}-"}),
        ]:
            for _ in range(5):
                connection = stack.enter_context(connected(live_server))
                connection.sendall(request(path, method, **headers))
                assert re.match(rb"HTTP/1\.1 %d " % status, connection.recv(4096))
        # The connections live on, and no recording is open for any of them.
        settle(live_server, idle + Counter(sockets=25))
        assert held(live_server)["recordings"] == 0
    settle(live_server, idle)
