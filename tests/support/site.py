"""A service that is restarted on one storage folder, and clients that outlive it."""

import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import requests

from tests.support.database import rows
from tests.support.harness import program, scale, start
from tests.support.live import LiveServer, launch
from tests.support.models import TINY
from tests.support.recordings import as_wav
from tests.support.service import PASSWORD
from tests.support.waiting import INTERVAL, until
from whisper_service.models import ggml

TOKENS = 1_000_000
MODEL = "ggml-unheard"  # no weights: the fake engine reads none
SECONDS = 60.0
DRAIN_SECONDS = scale(300, 60)
QUICK = {
    "WHISPER_SERVICE_AUTH_BCRYPT_COST": "4",
    "WHISPER_SERVICE_BILLING_INITIAL_TOKEN_BALANCE": str(TOKENS),
}


class Over(Exception):
    """The attack ended before a request was answered."""


class Site:
    """A service that is stopped and restarted; its clients wait while it is down.

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
        """Start the service and kill it after some seconds, whether it is ready or not."""
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
        """Terminate the service, wait at most some seconds, and return its exit code."""
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
        """Return the service's URL once it is up. Raises Over when the attack ends."""
        while not self._is_up.wait(INTERVAL):
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
    """A user who repeats a request whenever the service went away before its answer."""

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


def drain(storage: Path) -> None:
    """Wait until nothing is left to convert or to transcribe."""
    todo = (
        "SELECT 1 FROM transcription WHERE status IN ('pending', 'processing') "
        "UNION SELECT 1 FROM file WHERE status = 'converting'"
    )
    until(lambda: not rows(storage, todo), DRAIN_SECONDS)


@dataclass
class Promises:
    """What the service has acknowledged: files with their samples, transcriptions, sessions."""

    sounds: dict[str, bytes] = field(default_factory=dict)
    orders: list[str] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
