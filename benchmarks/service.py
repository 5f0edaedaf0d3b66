"""The service in a process of its own, and a client that times it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.support.live import LiveServer, start_server
from tests.support.service import PASSWORD

# Ever more seldom while a job takes long: each request takes time from the engines.
POLL_SHARE, POLL_SECONDS = 0.05, 0.1


class Client:
    """A user of the service. `session` keeps the connection, as a program would."""

    def __init__(self, url: str, username: str) -> None:
        self.url = f"{url}/api/v1"
        self.session = requests.Session()
        account = {"username": username, "password": PASSWORD}
        answer = self.call("POST", "/user/register", json=account)
        self.session.headers["Authorization"] = f"Basic {answer['session_id']}"

    def call(self, method: str, path: str, **arguments: Any) -> Any:  # noqa: ANN401 - JSON
        response = self.session.request(method, self.url + path, timeout=3600, **arguments)
        response.raise_for_status()
        return response.json()

    def upload(self, path: Path) -> str:
        """Upload a recording and wait until it is converted."""
        with path.open("rb") as file:
            uuid: str = self.call("POST", "/file", files={"file": file})["files"][0]["uuid"]
        while not any(
            file["uuid"] == uuid and file["status"] == "ready"
            for file in self.call("GET", "/file", params={"limit": 100})["files"]
        ):
            time.sleep(0.1)
        return uuid

    def order(self, file: str, model: str, formats: list[str]) -> list[str]:
        body = {"uuid": file, "model": model, "language": "en", "format": formats}
        queued = self.call("POST", "/transcribe", json=body)["transcriptions"]
        return [item["uuid"] for item in queued]

    def wait(self, uuid: str) -> dict[str, Any]:
        started = time.perf_counter()
        while True:
            answer: dict[str, Any] = self.call("GET", f"/transcribe/{uuid}")
            if answer["status"] == "completed":
                return answer
            if answer["status"] == "failed":
                raise RuntimeError(answer["error"])
            time.sleep(min(POLL_SECONDS, POLL_SHARE * (time.perf_counter() - started)))

    def transcribe(
        self, file: str, model: str, formats: tuple[str, ...] = ("verbose_json",)
    ) -> tuple[float, str]:
        """Time from the POST to `completed`; return that and the words, and forget the result."""
        started = time.perf_counter()
        uuids = self.order(file, model, list(formats))
        answers = [self.wait(uuid) for uuid in uuids]
        seconds = time.perf_counter() - started
        for uuid in uuids:
            self.call("DELETE", f"/transcribe/{uuid}")
        return seconds, answers[0]["data"]["text"]


@contextmanager
def running(storage: Path, models: Path, native: str = "auto") -> Iterator[LiveServer]:
    """Run the service on a free port, with the setting `[engine] native`."""
    settings = {
        "WHISPER_SERVICE_BILLING_INITIAL_TOKEN_BALANCE": str(10**12),
        "WHISPER_SERVICE_ENGINE_NATIVE": native,
    }
    server = start_server(storage, models, **settings)
    try:
        yield server
    finally:
        server.stop()
