"""The certificates of a cluster, and who gets in with them."""

import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from distributed import Client as DaskClient
from distributed.security import Security

from tests.support.cluster import Cluster, cluster_in
from tests.support.live import measured
from tests.support.paths import ROOT
from whisper_service.cluster import address, certificates
from whisper_service.cluster.connection import Connection
from whisper_service.config import ClusterSettings

FILES = [address.AUTHORITY, address.CERTIFICATE, address.KEY]
SETTING = "WHISPER_SERVICE_CLUSTER_CERTIFICATES"


def make(folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "whisper_service.cluster.certificates", str(folder)],
        cwd=ROOT,
        env=measured(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def read(folder: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / name).read_bytes())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "certificates"
    certificates.main(made)
    return made


def test_a_folder_for_all_machines_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "certificates"
    done = make(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert f'set certificates = "{folder}" below [cluster] in config.toml' in done.stdout
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_what_is_there_is_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "certificates"
    assert make(folder).returncode == 0
    before = [(folder / name).read_bytes() for name in FILES]
    done = make(folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: {folder} exists already; all members of a cluster need the same files\n"
    )
    assert [(folder / name).read_bytes() for name in FILES] == before


def test_only_the_authority_may_make_certificates(folder: Path) -> None:
    authority, member = (read(folder, name) for name in FILES[:2])
    for certificate, is_authority in ((authority, True), (member, False)):
        extension = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        assert extension.critical
        assert extension.value.ca is is_authority
        certificate.verify_directly_issued_by(authority)
        lifetime = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        assert lifetime.days > 365 * certificates.YEARS


def test_the_key_is_the_members_and_the_authority_has_another(folder: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / address.CERTIFICATE, folder / address.KEY)
    with pytest.raises(ssl.SSLError):
        context.load_cert_chain(folder / address.AUTHORITY, folder / address.KEY)


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Path]]:
    """A cluster with TLS, and its certificates. Its scheduler runs, and one worker."""
    folder = tmp_path_factory.mktemp("secure")
    made = folder / "certificates"
    certificates.main(made)
    with cluster_in(folder / "cluster", scheme="tls", environ={SETTING: str(made)}) as cluster:
        cluster.start_scheduler()
        cluster.start_worker()
        yield cluster, made


def security_of(folder: Path) -> Security:
    return address.check(ClusterSettings("tls://127.0.0.1:1", str(folder)))


def where(cluster: Cluster) -> tuple[str, int]:
    parts = address.parse(cluster.url)
    return str(parts.hostname), int(parts.port or 0)


def test_a_member_gets_in(secure: tuple[Cluster, Path]) -> None:
    cluster, folder = secure
    with Connection(cluster.url, security_of(folder)) as connection:
        (worker,) = connection.workers()
    assert worker.startswith("tls://127.0.0.2:")


def test_one_with_certificates_of_another_authority_does_not(
    secure: tuple[Cluster, Path], folder: Path
) -> None:
    with pytest.raises(OSError, match="TLS certificate does not match"):
        Connection(secure[0].url, security_of(folder))


def test_one_that_trusts_the_authority_needs_its_certificate_as_well(
    secure: tuple[Cluster, Path], folder: Path
) -> None:
    cluster, theirs = secure
    (folder / address.AUTHORITY).write_bytes((theirs / address.AUTHORITY).read_bytes())
    with pytest.raises(OSError, match="127.0.0.1"):
        Connection(cluster.url, security_of(folder))


def test_one_without_encryption_gets_nothing(secure: tuple[Cluster, Path]) -> None:
    url = secure[0].url.replace("tls://", "tcp://")
    with pytest.raises(OSError, match="127.0.0.1"):
        DaskClient(url, timeout=5, set_as_default=False)


@pytest.mark.parametrize("what", ["scheduler", "worker"])
def test_one_without_a_certificate_gets_nothing(secure: tuple[Cluster, Path], what: str) -> None:
    """In TLS 1.3 a client learns that only when it reads."""
    cluster, folder = secure
    place = where(cluster)
    if what == "worker":
        with Connection(cluster.url, security_of(folder)) as connection:
            (worker,) = connection.workers()
        host, port = worker.removeprefix("tls://").split(":")
        place = host, int(port)
    context = ssl.create_default_context(cafile=str(folder / address.AUTHORITY))
    context.check_hostname = False
    with socket.create_connection(place, timeout=30) as plain:
        with pytest.raises(ssl.SSLError), context.wrap_socket(plain) as wrapped:
            while wrapped.recv(1000):
                pass
            raise AssertionError("it was closed without an alert")


def test_one_that_speaks_no_tls_is_sent_nothing(secure: tuple[Cluster, Path]) -> None:
    """Dask begins with a greeting, which may be an alert of TLS here."""
    with socket.create_connection(where(secure[0]), timeout=30) as plain:
        plain.sendall(b"hello" + bytes(100))
        answer = b""
        with suppress(ConnectionResetError):
            while piece := plain.recv(1000):
                answer += piece
    assert len(answer) < 10


def test_a_service_with_tls_finds_its_workers(
    secure: tuple[Cluster, Path], stub_models: Path
) -> None:
    service = secure[0].start_service(stub_models)
    service.wait_for_engines()
    assert service.server.stop() == 0


def test_a_worker_of_another_authority_does_not_join(
    secure: tuple[Cluster, Path], folder: Path
) -> None:
    cluster, theirs = secure
    worker = cluster.start_worker(
        "stranger", waits_for="cannot be joined", **{SETTING: str(folder)}
    )
    assert worker.said("engines joined") == 0
    with Connection(cluster.url, security_of(theirs)) as connection:
        assert len(connection.workers()) == 1
    assert worker.stop() == 0
