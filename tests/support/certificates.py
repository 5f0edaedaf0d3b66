"""Certificates of an authority of the tests' own."""

import ssl
import subprocess
from pathlib import Path


def make_authority(folder: Path) -> Path:
    """Make an authority, and return its certificate."""
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-keyout", folder / "ca.key", "-out", folder / "ca.pem"),
        *("-subj", "/CN=Tests", "-days", "1"),
    )
    return folder / "ca.pem"


def server_context(folder: Path, name: str) -> ssl.SSLContext:
    """Return the context of a server whose certificate the authority signed for a name."""
    key, request, made = (folder / f"{name}.{ending}" for ending in ("key", "csr", "pem"))
    names = folder / f"{name}.txt"
    names.write_text(f"subjectAltName=DNS:{name}")
    _openssl(
        *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
        *("-keyout", key, "-out", request, "-subj", f"/CN={name}"),
    )
    _openssl(
        *("x509", "-req", "-in", request, "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key"),
        *("-CAcreateserial", "-out", made, "-days", "1", "-extfile", names),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    return context


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
