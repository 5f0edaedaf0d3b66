"""Whoever lacks the certificate of a cluster gets nothing from its scheduler."""

import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from distributed.security import Security

from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.waiting import until
from whisper_service.cluster import address, certificates
from whisper_service.cluster.connection import Connection
from whisper_service.config import ClusterSettings


@dataclass(frozen=True)
class Scheduler:
    """A scheduler with TLS, and the folder of its certificates."""

    port: int
    certificates: Path

    @property
    def url(self) -> str:
        return f"tls://127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scheduler]:
    made = Scheduler(free_port(), tmp_path_factory.mktemp("cluster") / "ours")
    certificates.main(made.certificates)
    process = subprocess.Popen(
        [sys.executable, "-m", "whisper_service.cluster.scheduler", made.url],
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "WHISPER_SERVICE_CLUSTER_CERTIFICATES": str(made.certificates),
        },
    )
    try:
        until(lambda: said_to_member(made, made.certificates))
        yield made
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def said_to_member(scheduler: Scheduler, folder: Path | None) -> bytes:
    """Return what the scheduler says first to whoever shows a folder's certificate, or none."""
    context = ssl.create_default_context(cafile=str(scheduler.certificates / address.AUTHORITY))
    context.check_hostname = False
    if folder:
        context.load_cert_chain(folder / address.CERTIFICATE, folder / address.KEY)
    with (
        suppress(OSError),
        socket.create_connection(("127.0.0.1", scheduler.port), 10) as plain,
        context.wrap_socket(plain) as line,
    ):
        return line.recv(65_536)
    return b""


def said_to_plain(port: int, greeting: bytes) -> bytes:
    """Return all that the scheduler says without TLS, after a greeting."""
    said = b""
    with (
        suppress(ConnectionResetError),
        socket.create_connection(("127.0.0.1", port), 10) as line,
    ):
        line.sendall(greeting)
        while more := line.recv(65_536):
            said += more
    return said


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """The certificates of another cluster."""
    certificates.main(tmp_path / "others")
    return tmp_path / "others"


def test_a_certificate_of_another_authority_gets_nothing(
    scheduler: Scheduler, others: Path
) -> None:
    assert said_to_member(scheduler, others) == b""
    assert said_to_member(scheduler, None) == b""
    assert said_to_member(scheduler, scheduler.certificates) != b""


def test_a_client_without_tls_gets_nothing(scheduler: Scheduler) -> None:
    alert = b"\x15\x03"  # the record type and version of a TLS alert, which says no more
    for greeting in (b"GET / HTTP/1.0\r\n\r\n", bytes(64)):
        assert said_to_plain(scheduler.port, greeting)[:2] in (b"", alert)
    with pytest.raises(OSError, match="."):
        Connection(f"tcp://127.0.0.1:{scheduler.port}", Security())


def test_no_member_connects_to_a_cluster_of_another_authority(
    scheduler: Scheduler, others: Path
) -> None:
    def connect(folder: Path) -> Connection:
        settings = ClusterSettings(scheduler=scheduler.url, certificates=str(folder))
        return Connection(scheduler.url, address.check(settings))

    with pytest.raises(OSError, match="."):
        connect(others)
    with connect(scheduler.certificates) as connection:
        assert connection.workers() == {}
