"""Makes an authority and a certificate for the members of a cluster.

Run as `python -m whisper_service.cluster.certificates FOLDER`. All members share one certificate:
who has it is a member. The authority's key is thrown away, so nobody can make another.
"""

import datetime as dt
import os
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from whisper_service.cluster.address import AUTHORITY, CERTIFICATE, KEY

YEARS = 10


def main(folder: Path) -> None:
    """Write the three files into a new folder. Raises FileExistsError if it exists."""
    folder.mkdir(mode=0o700, parents=True)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = _certificate("authority", authority_key, "authority", authority_key)
    certificate = _certificate("member", key, "authority", authority_key)
    for name, data in (
        (AUTHORITY, authority.public_bytes(serialization.Encoding.PEM)),
        (CERTIFICATE, certificate.public_bytes(serialization.Encoding.PEM)),
        (KEY, _pem(key)),
    ):
        with os.fdopen(
            os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
        ) as file:
            file.write(data)


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    is_authority = subject == issuer
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))  # clocks differ
        .not_valid_after(now + dt.timedelta(days=365 * YEARS))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    return builder.sign(issuer_key, hashes.SHA256())


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"whisper-service cluster {name}")])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


if __name__ == "__main__":
    target = Path(sys.argv[1])
    try:
        main(target)
    except FileExistsError:
        sys.exit(f"error: {target} exists already; all members of a cluster need the same files")
    sys.stdout.write(
        f"{target}/ has what each machine of the cluster needs: copy it there, unseen by others,\n"
        f'and set certificates = "{target}" below [cluster] in config.toml\n'
    )
