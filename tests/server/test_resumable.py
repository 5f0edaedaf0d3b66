"""Resumable uploads over real connections: cut, killed, taken over, too long, too slow."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from blake3 import blake3

from tests.support.database import rows
from tests.support.disk import as_mounter, fill, small_disk
from tests.support.harness import seeded, serving, start
from tests.support.live import Client, LiveServer, served, start_server
from tests.support.processes import open_files
from tests.support.service import PASSWORD
from tests.support.tus import CLIP, SIZE, Sender, creation, encoded, piece
from tests.support.unreliable import failures, unreliable
from tests.support.uploads import MIB, Recording
from tests.support.waiting import until
from tests.support.wire import Answer, connected

Create = Callable[..., str]
LARGE = 8 * MIB
TAKEN_OVER = "The upload was removed, or is continued by another request"
TOO_LONG = "The body is longer than the rest of the upload"


@pytest.fixture(scope="module")
def server(stub_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    yield from served(
        start_server(
            tmp_path_factory.mktemp("resumable"),
            stub_models,
            WHISPER_SERVICE_LIMITS_UPLOADS_PER_USER="1000",
            WHISPER_SERVICE_SERVER_CORS_ORIGINS="https://example.org",
        )
    )


@pytest.fixture(scope="module")
def key(server: LiveServer) -> str:
    return Client(server, "ann").headers["Authorization"]


def asking(method: str, path: str, key: str = "", **headers: object) -> bytes:
    """Write a request's head with the headers of a PATCH at 0, and others in their place."""
    sent: dict[str, object] = {**piece(0), "Host": "localhost", "Authorization": key}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} /api/v1{path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in sent.items()]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.fixture
def create(server: LiveServer, key: str) -> Create:
    def create(size: int = SIZE) -> str:
        with connected(server) as wire:
            created = wire.asked(asking("POST", "/upload", key, **creation(size)))
            assert created.status == 201
            return created.headers["location"].removeprefix("/api/v1")

    return create


@pytest.fixture
def path(create: Create) -> str:
    return create()


def offset(server: LiveServer, key: str, path: str) -> int:
    with connected(server) as wire:
        return int(wire.asked(asking("HEAD", path, key)).headers["upload-offset"])


def received(server: LiveServer, key: str, path: str, expected: int) -> None:
    until(lambda: offset(server, key, path) == expected)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def test_bytes_are_kept_as_they_arrive(server: LiveServer, key: str, path: str) -> None:
    with connected(server) as wire:
        wire.send(asking("PATCH", path, key, Content_Length=SIZE), CLIP[:777])
        received(server, key, path, 777)
        wire.send(CLIP[777:5000])
        received(server, key, path, 5000)
    assert not list((server.storage / "tmp").iterdir())
    with connected(server) as wire:
        sent = asking("PATCH", path, key, Upload_Offset=5000, Content_Length=SIZE - 5000)
        answer = wire.asked(sent, CLIP[5000:])
    assert (answer.status, answer.headers["upload-offset"]) == (204, str(SIZE))
    query = f"SELECT hash FROM file WHERE uuid = '{answer.headers['file-uuid']}'"  # noqa: S608
    assert rows(server.storage, query) == [(blake3(CLIP).hexdigest(),)]


def test_a_body_in_chunks(server: LiveServer, key: str, path: str) -> None:
    pieces = [CLIP[at : at + 1000] for at in range(0, SIZE, 1000)]
    with connected(server) as wire:
        wire.send(asking("PATCH", path, key, Transfer_Encoding="chunked"))
        wire.send(*map(chunk, pieces[:9]))
        received(server, key, path, 9000)
        assert wire.asked(*map(chunk, [*pieces[9:], b""])).status == 204


def test_a_line_that_breaks_in_a_chunk(server: LiveServer, key: str, path: str) -> None:
    with connected(server) as wire:
        wire.send(asking("PATCH", path, key, Transfer_Encoding="chunked"))
        wire.send(chunk(CLIP[:5000])[:3000])
        received(server, key, path, 3000 - len(b"1388\r\n"))


def test_a_body_with_a_checksum_is_kept_whole_or_not_at_all(
    server: LiveServer, key: str, create: Create
) -> None:
    path, large = create(LARGE), b"x" * (LARGE - 1)
    good = f"blake3 {encoded(blake3(large).digest())}"
    bad = f"blake3 {encoded(blake3(b'').digest())}"
    sent = {"Content_Length": len(large)}
    with connected(server) as wire:
        wire.send(asking("PATCH", path, key, Upload_Checksum=good, **sent), large[:MIB])
        assert offset(server, key, path) == 0
    with connected(server) as wire:
        answer = wire.asked(asking("PATCH", path, key, Upload_Checksum=bad, **sent), large)
        assert (answer.status, answer.text) == (460, "Checksum mismatch")
        assert offset(server, key, path) == 0
        chunked = asking("PATCH", path, key, Upload_Checksum=good, Transfer_Encoding="chunked")
        assert wire.asked(chunked, chunk(large), chunk(b"")).status == 204
    assert offset(server, key, path) == len(large)


def refusal(server: LiveServer, method: str, path: str, key: str, **headers: object) -> Answer:
    """Ask to send a body; return the refusal that comes before it."""
    with connected(server) as wire:
        sent = {"Content_Length": 10, "Expect": "100-continue", **headers}
        answer = wire.asked(asking(method, path, key, **sent))
        assert wire.is_ended()
    return answer


def test_what_is_refused_before_the_body_comes(server: LiveServer, key: str, path: str) -> None:
    other = Client(server, "bob").headers["Authorization"]
    page = {"Origin": "https://example.org"}
    for status, caller, headers in (
        (401, "", {}),
        (404, other, {}),
        (400, key, {"Upload_Offset": "x"}),
        (400, key, {"Upload_Checksum": "md5 x"}),
        (409, key, {"Upload_Offset": 1}),
        (412, key, {"Tus_Resumable": "0.1"}),
        (413, key, {"Content_Length": SIZE + 1}),
        (413, key, {"Content_Length": SIZE + 1, "Upload_Checksum": f"md5 {encoded(b'0' * 16)}"}),
        (415, key, {"Content_Type": "text/plain"}),
    ):
        answer = refusal(server, "PATCH", path, caller, **headers, **page)
        assert answer.status == status
        assert answer.text
        if status != 401:
            assert answer.headers["tus-resumable"] == "1.0.0"
            assert answer.headers["access-control-allow-origin"] == "https://example.org"
            assert ("tus-version" in answer.headers) == (status == 412)
    assert refusal(server, "POST", path, key, X_HTTP_Method_Override="DELETE").status == 413
    assert refusal(server, "PATCH", path, key, Content_Length=10**30).status == 413
    assert offset(server, key, path) == 0


def test_a_post_in_place_of_a_patch_arrives_the_same_way(
    server: LiveServer, key: str, path: str
) -> None:
    with connected(server) as wire:
        sent = {"Content_Length": SIZE, "X_HTTP_Method_Override": "PATCH"}
        wire.send(asking("POST", path, key, **sent), CLIP[:5000])
        received(server, key, path, 5000)
        assert wire.asked(CLIP[5000:]).status == 204


def test_more_chunks_than_were_declared(server: LiveServer, key: str, path: str) -> None:
    with connected(server) as wire:
        wire.send(asking("PATCH", path, key, Transfer_Encoding="chunked"), chunk(CLIP[:-1]))
        received(server, key, path, SIZE - 1)
        answer = wire.asked(chunk(b"xy"))
        assert (answer.status, answer.text) == (413, TOO_LONG)
        assert wire.is_ended()
    assert offset(server, key, path) == SIZE - 1


def test_endless_framing_of_chunks_is_cut_off(server: LiveServer, key: str, path: str) -> None:
    with connected(server) as wire:
        wire.send(asking("PATCH", path, key, Transfer_Encoding="chunked"))
        extended = b"1;%s\r\nx\r\n" % (b"e" * 4000)
        wire.send(*[extended] * 100)
        assert wire.answer().status == 413


def test_the_newer_request_takes_over(server: LiveServer, key: str, create: Create) -> None:
    """The server may not have noticed that the older one's line is dead."""
    path = create(LARGE)
    with connected(server) as old, connected(server) as new:
        old.send(asking("PATCH", path, key, Content_Length=LARGE), b"old" * 1000)
        received(server, key, path, 3000)
        new.send(asking("PATCH", path, key, Upload_Offset=3000, Content_Length=5000), b"new")
        received(server, key, path, 3003)
        old.send(b"old" * 1000)
        answer = old.answer()
        assert (answer.status, answer.text) == (423, TAKEN_OVER)
        assert old.is_ended()
        new.send(b"n" * 4997)
        assert new.answer().status == 204
    assert (server.storage / "uploads" / path[-32:]).read_bytes() == (
        b"old" * 1000 + b"new" + b"n" * 4997
    )


def test_bytes_of_several_at_once_are_never_mixed(
    server: LiveServer, key: str, create: Create, noise: Path
) -> None:
    """Each sends all that is left and is stopped by the others; any byte twice would show."""
    location = "/api/v1" + create(noise.stat().st_size)
    senders = [Sender(lambda: server.url, key, noise) for _ in range(4)]
    with ThreadPoolExecutor(len(senders)) as pool:
        found = list(pool.map(lambda sender: sender.run(location), senders))
    assert {each["file"]["hash"] for each in found} == {hash_of(noise)}
    assert sum(sender.resumptions for sender in senders) > 0


def test_a_deletion_ends_what_arrives(server: LiveServer, create: Create, key: str) -> None:
    path = create()
    leaving = Client(server, "leaving")
    with connected(server) as other:
        own = leaving.headers["Authorization"]
        created = other.asked(asking("POST", "/upload", own, **creation(SIZE)))
        its = created.headers["location"].removeprefix("/api/v1")
        for caller, path_of_it, remove in (
            (key, path, lambda: other.asked(asking("DELETE", path, key)).status == 204),
            (own, its, lambda: leaving.call("DELETE", "/user", json={"password": PASSWORD})),
        ):
            with connected(server) as wire:
                wire.send(asking("PATCH", path_of_it, caller, Content_Length=SIZE), CLIP[:1000])
                received(server, caller, path_of_it, 1000)
                assert remove()
                wire.send(CLIP[1000:2000])
                answer = wire.answer()
            assert (answer.status, answer.text) == (423, TAKEN_OVER)
            assert not (server.storage / "uploads" / path_of_it[-32:]).exists()


def test_nothing_stays_open(server: LiveServer, key: str, create: Create) -> None:
    path = create()
    folder = f"{server.storage}/uploads/"
    open_uploads = lambda: [  # noqa: E731
        file for file in open_files(server.process.pid) if file.startswith(folder)
    ]
    for ending in (b"", CLIP):
        with connected(server) as wire:
            at = offset(server, key, path)
            sent = asking("PATCH", path, key, Upload_Offset=at, Content_Length=SIZE - at)
            wire.send(sent, CLIP[at : at + 10])
            until(open_uploads)
            assert len(open_uploads()) == 1
            wire.send(ending[at + 10 :])
            assert not ending or wire.answer().status == 204
        until(lambda: not open_uploads())


def test_a_body_that_comes_too_slowly_is_refused(stub_models: Path, tmp_path: Path) -> None:
    hasty = start(tmp_path, stub_models, DOOR_SECONDS="0.5")
    key = Client(hasty, "ann").headers["Authorization"]
    with connected(hasty) as wire:
        created = wire.asked(asking("POST", "/upload", key, **creation(SIZE)))
        path = created.headers["location"].removeprefix("/api/v1")
        wire.send(asking("PATCH", path, key, Content_Length=SIZE), b"slow")
        answer = wire.answer()
        assert (answer.status, answer.text) == (408, "The request came too slowly")
    assert offset(hasty, key, path) == 4
    assert hasty.stop() == 0


def test_a_full_disk_loses_nothing(
    stub_models: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    as_mounter(request)
    environ = {"WHISPER_SERVICE_STORAGE_RESERVE_BYTES": str(8 * MIB)}
    with (
        small_disk(tmp_path / "disk", 64 * MIB) as disk,
        serving(disk / "storage", stub_models, **environ) as server,
    ):
        key = Client(server, "ann").headers["Authorization"]
        with connected(server) as wire:
            sent = creation(32 * MIB)
            path = wire.asked(asking("POST", "/upload", key, **sent)).headers["location"][7:]
        with connected(server) as wire:
            wire.send(asking("PATCH", path, key, Content_Length=32 * MIB), b"x" * MIB)
            received(server, key, path, MIB)
            ballast = fill(disk, 12 * MIB)
            wire.send(b"x" * (16 * MIB))
            answer = wire.answer()
            assert (answer.status, answer.text) == (507, "The server's disk is full")
        at = offset(server, key, path)
        assert 4 * MIB < at < 6 * MIB
        full = {"Upload_Offset": at, "Content_Length": 32 * MIB - at}
        assert refusal(server, "PATCH", path, key, **full).status == 507
        ballast.unlink()
        with connected(server) as wire:
            sent = asking("PATCH", path, key, Upload_Offset=at, Content_Length=MIB)
            assert wire.asked(sent, b"x" * MIB).status == 204


def test_a_large_recording_survives_cuts_and_a_kill(
    stub_models: Path, tmp_path: Path, noise: Path
) -> None:
    size = noise.stat().st_size
    with unreliable(tmp_path / "storage", stub_models) as (service, proxy):
        key = Client(service.server, "ann").headers["Authorization"]
        sender = Sender(lambda: proxy.url, key, noise)
        proxy.events += failures(seeded(), service, size, cuts=4, kills=1)
        found = sender.run()
        assert found["file"]["hash"] == hash_of(noise)
        assert sender.resumptions >= 5
        assert proxy.events == []
        # A kill loses what the service had not read yet, a cut nothing.
        assert proxy.passed < 1.5 * size
        assert not list((service.storage / "uploads").iterdir())


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("noise") / "noise.wav"
    with path.open("wb") as file:
        file.writelines(Recording(20 * MIB))
    return path


def hash_of(path: Path) -> str:
    return str(blake3(path.read_bytes()).hexdigest())
