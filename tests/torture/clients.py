"""A service that is ended and started again on one storage folder, and clients that go on."""

import io
import os
import subprocess
import threading
import time
import wave
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, Self

import pytest
import requests

from tests.conftest import PASSWORD, LiveServer, launch
from tests.models.test_ggml import TINY
from tests.server.test_server import rows
from tests.torture.harness import program, scale, start
from whisper_service.models import ggml

RATE = 16_000
TOKENS = 1_000_000
MODEL = "ggml-unheard"  # no weights: the fake engine reads none
SECONDS = 60.0
DRAIN_SECONDS = scale(300, 60)
LOOK_SECONDS = 0.02
QUICK = {
    "WHISPER_SERVICE_AUTH_BCRYPT_COST": "4",
    "WHISPER_SERVICE_BILLING_INITIAL_TOKEN_BALANCE": str(TOKENS),
}


class Over(Exception):
    """The attack ended before a request was answered."""


class Site:
    """Where the service is now. Clients wait here while there is none.

    `seconds` is how long the engine takes for a task, from the next start on; `broken` names a
    fault; `environ` is what else the service gets to know.
    """

    def __init__(
        self, folder: Path, *, broken: str = "", seconds: float = 0, **environ: str
    ) -> None:
        self.storage = folder / "storage"
        self.seconds = seconds
        self.over = threading.Event()
        self._broken = broken
        self._more = {**QUICK, **environ}
        self._models = folder / "models"
        self._models.mkdir(parents=True)
        with (self._models / f"{MODEL}.bin").open("wb") as file:
            ggml.write_header(file, TINY)
        self._url = ""
        self._is_up = threading.Event()
        self._server: LiveServer | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        if self._server:
            self.kill()

    def start(self) -> None:
        self._server = start(self.storage, self._models, broken=self._broken, **self._environ)
        self._url = f"{self._server.url}/api/v1"
        self._is_up.set()

    def start_in_vain(self, seconds: float) -> None:
        """Start the service and kill it after so many seconds, be it ready or not."""
        how = {"program": program(self._broken), **self._environ}
        process = launch(self.storage, self._models, **how)
        assert process.stdout
        with process.stdout, suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.kill()
        process.wait()

    def kill(self) -> None:
        server = self._take()
        server.process.kill()
        server.process.wait()

    def stop(self, seconds: float = 30) -> int:
        """End the service in order, within so many seconds, and return its exit code."""
        self.terminate()
        return self.wait(seconds)

    def terminate(self) -> None:
        self.server.process.terminate()

    def wait(self, seconds: float) -> int:
        """Wait for the end of the service, and return its exit code."""
        server = self._take()
        try:
            return server.process.wait(seconds)
        finally:
            server.process.kill()

    @property
    def server(self) -> LiveServer:
        assert self._server
        return self._server

    @property
    def pid(self) -> int:
        return self.server.process.pid

    def url(self) -> str:
        """Wait for the service to be up. Raises Over when the attack ends."""
        while not self._is_up.wait(LOOK_SECONDS):
            if self.over.is_set():
                raise Over
        return self._url

    @property
    def _environ(self) -> dict[str, str]:
        return {"FAKE_SECONDS": str(self.seconds), **self._more}

    def _take(self) -> LiveServer:
        server = self.server
        self._server = None
        self._is_up.clear()
        return server


class Client:
    """A user who asks again whenever the service went away before it had answered."""

    def __init__(self, site: Site, name: str) -> None:
        self.site = site
        self.account = {"username": name, "password": PASSWORD}
        self._http = requests.Session()
        self.enter("register")

    def enter(self, way: str = "login") -> str:
        session = str(self.ask("POST", f"/user/{way}", json=self.account)["session_id"])
        self._http.headers["Authorization"] = f"Basic {session}"
        return session

    @property
    def authorization(self) -> str:
        return str(self._http.headers["Authorization"])

    def ask(self, method: str, path: str, **arguments: Any) -> Any:
        return self.request(method, path, **arguments).json()

    def request(self, method: str, path: str, **arguments: Any) -> requests.Response:
        while True:
            url = self.site.url()
            try:
                response = self._http.request(method, url + path, timeout=SECONDS, **arguments)
            except requests.RequestException:
                if self.site.over.is_set():
                    raise
                continue
            assert response.ok, (method, path, response.status_code, response.text)
            return response

    def upload(self, sound: bytes) -> str:
        files = {"file": ("sound.wav", as_wav(sound))}
        return str(self.ask("POST", "/file", files=files)["files"][0]["uuid"])

    def order(self, file: str, **fields: Any) -> list[str]:
        body = {"uuid": file, "model": MODEL, **fields}
        return [row["uuid"] for row in self.ask("POST", "/transcribe", json=body)["transcriptions"]]

    def wait(self, transcription: str, *statuses: str) -> None:
        """Wait until a transcription has one of the statuses, or has ended."""
        wanted = {*statuses, "completed", "failed"}
        until(lambda: self.ask("GET", f"/transcribe/{transcription}")["status"] in wanted)

    def close(self) -> None:
        self._http.close()


def sound(random: Random, seconds: float) -> bytes:
    """Make samples of noise that nobody else has, as Whisper hears them."""
    return random.randbytes(2 * int(seconds * RATE))


def as_wav(samples: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(samples)
    return file.getvalue()


def until(check: Callable[[], Any], seconds: float = SECONDS) -> None:
    """Ask again and again until the answer is yes. Raises AssertionError when it stays no."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(LOOK_SECONDS)


def drain(storage: Path) -> None:
    """Wait until nothing is left to convert or to transcribe."""
    todo = (
        "SELECT 1 FROM transcription WHERE status IN ('pending', 'processing') "
        "UNION SELECT 1 FROM file WHERE status = 'converting'"
    )
    until(lambda: not rows(storage, todo), DRAIN_SECONDS)


def processes_of(storage: Path) -> list[int]:
    """Find who works for a storage folder: by arguments, environment or an open file."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            opened = [str(link.readlink()) for link in (entry / "fd").iterdir()]
        except OSError:  # it has ended
            continue
        ours = os.fsencode(storage) in told or any(str(storage) in path for path in opened)
        if ours and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found


def assert_caught(attack: Callable[[], object]) -> None:
    """Run an attack on a service that is broken: it has to find that out."""
    with pytest.raises(AssertionError):
        attack()
