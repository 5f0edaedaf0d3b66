"""What uploads leave of a disk, however they come."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from tests.support.disk import MIB, as_mounter, small_disk
from tests.support.harness import serving
from tests.support.live import Client, LiveServer
from tests.support.waiting import repeating, until

DISK, RESERVE, BODY = 64 * MIB, 24 * MIB, 12 * MIB
# What the database may have written meanwhile, and what each upload may be ahead of the look.
SLACK = 2 * MIB
AT_ONCE = 3


@pytest.fixture(autouse=True)
def _mounter(request: pytest.FixtureRequest) -> None:
    as_mounter(request)


@contextmanager
def observed_room(disk: Path) -> Iterator[list[int]]:
    """Note all the time how many bytes of a disk are free."""
    found = [free(disk)]
    with repeating(lambda: found.append(free(disk)), 0.002):
        yield found


def free(disk: Path) -> int:
    return shutil.disk_usage(disk).free


def upload(server: LiveServer, client: Client, size: int) -> int:
    """Send a file in chunks, so that nobody knows its size beforehand."""

    def body() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        for _ in range(size // MIB):
            yield b"x" * MIB
        yield b"\r\n--x--\r\n"

    headers = {**client.headers, "Content-Type": "multipart/form-data; boundary=x"}
    url = f"{server.url}/api/v1/file"
    return requests.post(url, data=body(), headers=headers, timeout=60).status_code


@pytest.mark.parametrize(
    ("at_once", "size"),
    [(1, 3 * BODY), (1, 4 * BODY), (AT_ONCE, BODY)],
    ids=["its file too large", "its body too large", "several"],
)
def test_uploads_in_chunks_leave_the_reserve(
    stub_models: Path, tmp_path: Path, at_once: int, size: int
) -> None:
    environ = {
        "WHISPER_SERVICE_STORAGE_RESERVE_BYTES": str(RESERVE),
    }
    with small_disk(tmp_path / "disk", DISK) as disk:
        with serving(disk / "storage", stub_models, **environ) as server:
            client = Client(server, "ann")
            before = free(disk)
            with observed_room(disk) as found, ThreadPoolExecutor(at_once) as pool:
                sizes = [size] * at_once
                statuses = list(pool.map(lambda size: upload(server, client, size), sizes))
            assert 507 in statuses
            assert set(statuses) <= {200, 507}
            assert min(found) >= RESERVE - SLACK
            until(lambda: free(disk) >= before - SLACK)
            assert not list((disk / "storage" / "tmp").iterdir())
