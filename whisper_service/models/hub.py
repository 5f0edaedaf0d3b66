"""Downloading models from the hub where whisper.cpp publishes them, or from a mirror."""

import errno
import hashlib
import io
import os
import shutil
import sys
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import NoReturn
from urllib.parse import urlsplit

import requests
from tqdm import tqdm

from whisper_service.errors import CommandError
from whisper_service.models import part_file
from whisper_service.models.part_file import say

HUB = "https://huggingface.co/ggerganov/whisper.cpp/resolve/main/"
HUB_VARIABLE = "WHISPER_SERVICE_MODEL_HUB"

# The model and the SHA-1 of its file, as whisper.cpp's models/README.md lists them.
SHA1 = {
    "tiny": "bd577a113a864445d4c299885e0cb97d4ba92b5f",
    "tiny.en": "c78c86eb1a8faa21b369bcd33207cc90d64ae9df",
    "base": "465707469ff3a37a2b9b8d8f89f2f99de7299dac",
    "base.en": "137c40403d78fd54d454da0f9bd998f78703390c",
    "small": "55356645c2b361a969dfd0ef2c5a50d530afd8d5",
    "small.en": "db8a495a91d927739e50b3fc1cc4c6b8f6c2d022",
    "small.en-tdrz": "b6c6e7e89af1a35c08e6de56b66ca6a02a2fdfa1",
    "medium": "fd9727b6e1217c2f614f9b698455c4ffd82463b4",
    "medium.en": "8c30f0e44ce9560643ebd10bbe50cd20eafd3723",
    "large-v1": "b1caaf735c4cc1429223d5a74f0f4d0b9b59a299",
    "large-v2": "0f4c8e34f21cf1a914c59d8b3ce882345ad349d6",
    "large-v2-q5_0": "00e39f2196344e901b3a2bd5814807a769bd1630",
    "large-v3": "ad82bf6a9043ceed055076d0fd39f5f186ff8062",
    "large-v3-q5_0": "e6e2ed78495d403bef4b7cff42ef4aaadcfea8de",
    "large-v3-turbo": "4af2b29d7ec73d781377bfd1758ca957a807e941",
    "large-v3-turbo-q5_0": "e050f7970618a659205450ad97eb95a18d69c9ee",
}

READ_TIMEOUT = 30.0  # seconds without a byte
_FRUITLESS_TRIES = 5
_CHUNK = 1 << 14  # bytes; a broken connection loses at most one chunk
_MEGABYTE = 1_000_000


class HubError(CommandError):
    """The hub does not have the file, cannot be reached, or sent a damaged one."""


@dataclass(frozen=True)
class Download:
    """A file on the hub, and the SHA-1 that it must have.

    `connect_timeout` and `pause` are in seconds. `pause` is the delay before the first retry; it
    doubles with each further retry without progress.
    """

    url: str
    sha1: str
    connect_timeout: float = 5.0
    pause: float = 1.0

    @property
    def file_name(self) -> str:
        return self.url.rpartition("/")[2]


def of(model: str, hub: str | None = None, connect_timeout: float = 5.0) -> Download:
    """Return the download of a model in SHA1, such as `tiny.en`.

    The hub's base URL is `hub`, else WHISPER_SERVICE_MODEL_HUB, else HUB.
    """
    base = hub or os.environ.get(HUB_VARIABLE) or HUB
    return Download(f"{base.rstrip('/')}/ggml-{model}.bin", SHA1[model], connect_timeout)


def download(what: Download, file: io.FileIO) -> None:
    """Resume a download into a locked part file, and check its hash.

    Raises HubError, and empties the part file if its hash is wrong. Raises CommandError when the
    disk has no room, and empties it if the disk filled up, which would stop the service as well.
    """
    say(f"Downloading {what.file_name} from {urlsplit(what.url).hostname}")
    most = start = file.seek(0, io.SEEK_END)
    fruitless = 0
    while True:
        try:
            _receive(what, file)
            break
        except requests.RequestException as error:
            size = file.seek(0, io.SEEK_END)
            fruitless = 0 if size > most else fruitless + 1
            most = max(most, size)
            if most == start or fruitless == _FRUITLESS_TRIES:
                raise HubError(_reason(error, reached=most > start)) from None
            time.sleep(what.pause * 2 ** max(0, fruitless - 1))
    if not _is_whole(what, file):
        part_file.clear(file)
        raise HubError(f"the model hub sent a damaged {what.file_name}")


def _receive(what: Download, file: io.FileIO) -> None:
    """Request and write what is missing. Raises requests.RequestException."""
    have = file.seek(0, io.SEEK_END)
    with _request(what, have) as response:
        if not have or _continues(response, have):
            return _store(what, file, response)
    if _is_whole(what, file):  # it only had to be renamed
        return None
    part_file.clear(file)
    with _request(what, 0) as response:
        return _store(what, file, response)


def _request(what: Download, have: int) -> requests.Response:
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    timeout = (what.connect_timeout, READ_TIMEOUT)
    return requests.get(what.url, headers=headers, timeout=timeout, stream=True)


def _continues(response: requests.Response, have: int) -> bool:
    """Return False if the server cannot continue after the first `have` bytes."""
    if response.status_code == HTTPStatus.PARTIAL_CONTENT:
        return response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
    return response.status_code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE


def _store(what: Download, file: io.FileIO, response: requests.Response) -> None:
    response.raise_for_status()
    if response.status_code == HTTPStatus.OK:  # the whole file, although a part was requested
        part_file.clear(file)
    length = int(response.headers.get("Content-Length", 0))
    have = file.tell()
    if length > (free := shutil.disk_usage(file.fileno()).free):
        raise CommandError(_no_room(what, length, free))
    try:
        with _bar(what, have, length) as bar:
            for chunk in response.iter_content(_CHUNK):
                _write(file, chunk)
                bar.update(len(chunk))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        part_file.clear(file)
        raise CommandError(
            f"{what.file_name} needs more room on the models folder's disk than it has"
        ) from None


def _write(file: io.FileIO, chunk: bytes) -> None:
    left = memoryview(chunk)
    while left:  # on a nearly full disk only a part may be written
        left = left[file.write(left) :]


def _bar(what: Download, have: int, length: int) -> "tqdm[NoReturn]":
    """Return a progress bar, which shows on a terminal only."""
    total = have + length if length else None
    return tqdm(
        desc=what.file_name,
        initial=have,
        total=total,
        unit="B",
        unit_scale=True,
        file=sys.stderr,
        disable=None,
    )


def _is_whole(what: Download, file: io.FileIO) -> bool:
    file.seek(0)
    digest = hashlib.file_digest(file, lambda: hashlib.sha1(usedforsecurity=False))
    return digest.hexdigest() == what.sha1


def _no_room(what: Download, needed: int, free: int) -> str:
    needed_mb, free_mb = -(-needed // _MEGABYTE), free // _MEGABYTE
    return (
        f"{what.file_name} needs {needed_mb} MB on the models folder's disk; {free_mb} MB are free"
    )


def _reason(error: requests.RequestException, *, reached: bool) -> str:
    if isinstance(error, requests.HTTPError):
        return f"the model hub answered {error.response.status_code}"
    return f"the model hub {'keeps cutting the connection' if reached else 'cannot be reached'}"
