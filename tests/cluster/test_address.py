"""Which schedulers are refused, for whoever reaches one runs code on all its machines."""

from pathlib import Path

import pytest

from tests.support.commands import failure
from whisper_service.cluster import address, certificates
from whisper_service.config import ClusterSettings
from whisper_service.errors import CommandError

FILES = (address.AUTHORITY, address.CERTIFICATE, address.KEY)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "certificates"
    certificates.main(made)
    return made


def refusal(scheduler: str, folder: Path | str = "") -> str:
    with pytest.raises(CommandError) as error:
        address.check(ClusterSettings(scheduler, str(folder)))
    return str(error.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "[::1]"])
def test_loopback_addresses_need_no_encryption(host: str) -> None:
    security = address.check(ClusterSettings(f"tcp://{host}:8786"))
    assert security.require_encryption is False


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.7",
        "0.0.0.0",  # noqa: S104
        "[::]",
        "[2001:db8::7]",
        "example.org",
        "localhost",
        "127.0.0.1.nip.io",
    ],
)
def test_all_others_need_it(host: str) -> None:
    url = f"tcp://{host}:8786"
    assert refusal(url) == (
        f"cluster.scheduler: {url} is not encrypted, which only loopback addresses may be; "
        "use tls:// (make cluster-certificates)"
    )


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8786",
        "http://127.0.0.1:8786",
        "ucx://127.0.0.1:8786",
        "inproc://1/2",
        "tcp://127.0.0.1",
        "tls://:8786",
        "tcp://127.0.0.1:0",
        "tcp://127.0.0.1:65536",
        "tcp://127.0.0.1:port",
        "tcp://[::1:8786",
        "nonsense",
    ],
)
def test_what_is_no_url_of_a_scheduler_is_named(url: str) -> None:
    assert refusal(url) == f"cluster.scheduler must be like tls://host:8786, not {url!r}"


def test_tls_needs_certificates() -> None:
    assert refusal("tls://127.0.0.1:8786") == (
        "tls:// needs cluster.certificates (make cluster-certificates)"
    )


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_missing_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    message = f"cluster.certificates: there is no {folder / name}"
    assert refusal("tls://127.0.0.1:8786", folder) == message


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o602, 0o601])
def test_a_key_for_others_is_refused(folder: Path, mode: int) -> None:
    key = folder / address.KEY
    key.chmod(mode)
    message = f"cluster.certificates: other users may read {key}; chmod 600 it"
    assert refusal("tls://127.0.0.1:8786", folder) == message


@pytest.mark.parametrize("role", ["client", "scheduler", "worker"])
def test_with_tls_all_have_a_certificate_and_ask_for_one(folder: Path, role: str) -> None:
    security = address.check(ClusterSettings("tls://example.org:8786", str(folder)))
    assert security.require_encryption is True
    shown = security.get_tls_config_for_role(role)
    assert shown["ca_file"] == str(folder / address.AUTHORITY)
    assert shown["cert"] == str(folder / address.CERTIFICATE)
    assert shown["key"] == str(folder / address.KEY)


@pytest.mark.parametrize("url", ["tcp://10.0.0.7:8786", "tls://10.0.0.7:8786", "nonsense"])
def test_a_service_does_not_start_with_one(stub_models: Path, tmp_path: Path, url: str) -> None:
    line = failure(
        "serve",
        WHISPER_SERVICE_SERVER_PORT="0",
        WHISPER_SERVICE_ENGINE_NATIVE="off",
        WHISPER_SERVICE_STORAGE_PATH=str(tmp_path / "storage"),
        WHISPER_SERVICE_MODELS_PATH=str(stub_models),
        WHISPER_SERVICE_CLUSTER_SCHEDULER=url,
    )
    assert line == f"error: {refusal(url)}"
