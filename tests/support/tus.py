"""Resumable uploads: the headers of their requests, and a client that goes on after any failure."""

import http.client
import json
import time
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support.paths import DATA
from tests.support.service import Api, Service

CLIP = (DATA / "austen-0880.wav").read_bytes()
SIZE = len(CLIP)
BLOCK = 256 * 1024
RETRY_SECONDS = 0.1
RESUMABLE = {"Tus-Resumable": "1.0.0"}
TYPE = {"Content-Type": "application/offset+octet-stream"}


def encoded(text: str | bytes) -> str:
    return b64encode(text.encode() if isinstance(text, str) else text).decode()


def bytes_of(service: Service) -> dict[str, bytes]:
    """Return what was received of each unfinished upload."""
    return {path.name: path.read_bytes() for path in (service.storage.root / "uploads").iterdir()}


def creation(size: int | str, filename: str = "a.wav") -> dict[str, str]:
    metadata = {"Upload-Metadata": f"filename {encoded(filename)}"}
    return {**RESUMABLE, "Upload-Length": str(size), **metadata}


def piece(offset: int | str, **more: str) -> dict[str, str]:
    """Return the headers of a PATCH. A `_` in the name of another one stands for a hyphen."""
    others = {name.replace("_", "-"): value for name, value in more.items()}
    return {**RESUMABLE, **TYPE, "Upload-Offset": str(offset), **others}


def create(api: Api, size: int, filename: str = "a.wav") -> str:
    """Create an upload, and return its uuid."""
    response = api.call("POST", "/upload", 201, headers=creation(size, filename))
    return str(response.json["uuid"])


def append(api: Api, uuid: str, offset: int, data: bytes, expect: int = 204, **more: str) -> Any:
    headers = piece(offset, **more)
    return api.call("PATCH", f"/upload/{uuid}", expect, data=data, headers=headers)


def look(api: Api, uuid: str, expect: int = 200) -> Any:
    return api.call("HEAD", f"/upload/{uuid}", expect, headers=RESUMABLE)


def refused(api: Api, uuid: str, status: int, data: bytes = b"", **headers: str) -> str:
    """Send a PATCH that must be refused, and return the sentence."""
    sent = {**piece(0), **{name.replace("_", "-"): value for name, value in headers.items()}}
    response = api.call("PATCH", f"/upload/{uuid}", status, data=data, headers=sent)
    assert response.headers["Tus-Resumable"] == "1.0.0"
    return response.text


@dataclass
class Sender:
    """Sends a file in one PATCH after another, each with all that is left, until it is stored.

    `address` is asked before each request, for the server may have another one after a start.
    """

    address: Callable[[], str]
    authorization: str
    path: Path
    resumptions: int = 0
    offsets: list[int] = field(default_factory=list)

    def run(self, location: str = "") -> dict[str, Any]:
        """Return what GET says in the end of the upload, a new one if there is no `location`."""
        location = location or self._create()
        while True:
            try:
                self._send(location, self._offset(location))
                return self._ask("GET", location)
            except (OSError, http.client.HTTPException):
                self.resumptions += 1
                time.sleep(RETRY_SECONDS)

    def _create(self) -> str:
        with closing(self._connect()) as connection:
            headers = creation(self.path.stat().st_size) | self._headers
            connection.request("POST", "/api/v1/upload", headers=headers)
            response = connection.getresponse()
            assert response.status == 201, response.read()
            return str(response.headers["Location"])

    def _offset(self, location: str) -> int:
        with closing(self._connect()) as connection:
            connection.request("HEAD", location, headers=RESUMABLE | self._headers)
            response = connection.getresponse()
            response.read()
            assert response.status == 200, response.status
            offset = int(response.headers["Upload-Offset"])
        assert offset >= max(self.offsets, default=0), "bytes were lost"
        self.offsets.append(offset)
        return offset

    def _send(self, location: str, offset: int) -> None:
        left = self.path.stat().st_size - offset
        with closing(self._connect()) as connection, self.path.open("rb") as file:
            file.seek(offset)
            connection.putrequest("PATCH", location)
            for header in (piece(offset, Content_Length=str(left)) | self._headers).items():
                connection.putheader(*header)
            connection.endheaders()
            while block := file.read(BLOCK):
                connection.send(block)
            response = connection.getresponse()
            text = response.read()
        if response.status in {409, 423}:
            raise OSError(text)
        assert response.status == 204, (response.status, text)

    def _ask(self, method: str, location: str) -> dict[str, Any]:
        with closing(self._connect()) as connection:
            connection.request(method, location, headers=self._headers)
            found: dict[str, Any] = json.loads(connection.getresponse().read())
            return found

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self.address()).netloc, timeout=60)

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": self.authorization}
