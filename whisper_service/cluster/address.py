"""Which schedulers may be connected to: whoever reaches one can run code on all its machines."""

import ipaddress
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from distributed.security import Security

from whisper_service.config import ClusterSettings
from whisper_service.errors import CommandError

# The files of a folder of certificates, all PEM.
AUTHORITY, CERTIFICATE, KEY = "ca.pem", "certificate.pem", "key.pem"


def check(settings: ClusterSettings) -> Security:
    """Return how to connect to the scheduler. Raises CommandError for what isn't secure."""
    parts = parse(settings.scheduler)
    if parts.scheme == "tcp":
        if not _is_loopback(parts.hostname or ""):
            raise CommandError(
                f"cluster.scheduler: {settings.scheduler} is not encrypted, which only loopback "
                "addresses may be; use tls:// (make cluster-certificates)"
            )
        return Security(require_encryption=False)
    return _mutual_tls(settings.certificates)


def parse(url: str) -> SplitResult:
    """Parse the URL of a scheduler. Raises CommandError if it is none."""
    try:
        parts = urlsplit(url)
        is_valid = parts.scheme in {"tls", "tcp"} and parts.hostname and parts.port
    except ValueError:
        is_valid = False
    if not is_valid:
        raise CommandError(f"cluster.scheduler must be like tls://host:8786, not {url!r}")
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _mutual_tls(certificates: str) -> Security:
    """Return TLS where each side has to show a certificate of the same authority."""
    if not certificates:
        raise CommandError("tls:// needs cluster.certificates (make cluster-certificates)")
    files = {name: Path(certificates) / name for name in (AUTHORITY, CERTIFICATE, KEY)}
    for path in files.values():
        if not path.is_file():
            raise CommandError(f"cluster.certificates: there is no {path}")
    # With systemd's credentials the mode of its group is that of its access list, for this user.
    if files[KEY].stat().st_mode & 0o027:
        raise CommandError(f"cluster.certificates: other users may read {files[KEY]}; chmod 600 it")
    roles = ("client", "scheduler", "worker")
    return Security(
        require_encryption=True,
        tls_ca_file=str(files[AUTHORITY]),
        **{f"tls_{role}_cert": str(files[CERTIFICATE]) for role in roles},
        **{f"tls_{role}_key": str(files[KEY]) for role in roles},
    )
