"""The service in a process of its own, as a user starts it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import requests

from tests.support.paths import ROOT
from tests.support.service import PASSWORD

QUICK = {"WHISPER_SERVICE_AUTH_BCRYPT_COST": "4"}
PROGRAM = (sys.executable, str(ROOT / "app.py"))


@dataclass
class LiveServer:
    process: "subprocess.Popen[str]"
    url: str
    storage: Path

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(30)


def measured() -> dict[str, str]:
    """Return the environment variables that let a child process measure its coverage."""
    return {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}


def launch(
    storage: Path,
    models: Path,
    *,
    program: Sequence[str] = PROGRAM,
    stderr: "int | IO[bytes]" = subprocess.DEVNULL,
    **environ: str,
) -> "subprocess.Popen[str]":
    """Start `app.py` on a free port, as a user would, but with quick hashes of passwords."""
    variables = {
        "PATH": "/usr/bin:/bin",
        **QUICK,
        "WHISPER_SERVICE_SERVER_PORT": "0",
        "WHISPER_SERVICE_ENGINE_NATIVE": "off",  # what it builds is kept outside of the storage
        "WHISPER_SERVICE_STORAGE_PATH": str(storage),
        "WHISPER_SERVICE_MODELS_PATH": str(models),
        **environ,
    }
    return subprocess.Popen(
        program,
        cwd=ROOT,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def start_server(storage: Path, models: Path, **how: Any) -> LiveServer:
    """Start the service as `launch` does, and wait until it prints its URL."""
    process = launch(storage, models, **how)
    assert process.stdout
    with process.stdout:
        greeting = process.stdout.readline()
        process.stdout.readline()
        process.stdout.readline()
        process.stdout.readline()
    return LiveServer(process, greeting.rsplit(" ", 1)[1].strip(), storage)


def served(server: LiveServer) -> Iterator[LiveServer]:
    """Yield a server, and stop it."""
    yield server
    assert server.stop() == 0


TIMEOUT = 60


class Client:
    def __init__(self, server: LiveServer, username: str) -> None:
        self.url = f"{server.url}/api/v1"
        body = {"username": username, "password": PASSWORD}
        session = self.call("POST", "/user/register", json=body)["session_id"]
        self.headers = {"Authorization": f"Basic {session}"}
        key = self.call("POST", "/user/token", json={"name": "k"})["token"]
        self.headers = {"Authorization": f"Bearer {key}"}

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        headers = getattr(self, "headers", {})
        response = requests.request(
            method, self.url + path, headers=headers, timeout=TIMEOUT, **arguments
        )
        assert response.ok, response.text
        return response.json()

    def upload(self, path: Path) -> str:
        with path.open("rb") as file:
            return self.call("POST", "/file", files={"file": file})["files"][0]["uuid"]

    def transcribe(self, uuid: str, **fields: Any) -> list[str]:
        body = {"uuid": uuid, "model": "ggml-tiny.en", **fields}
        return [
            item["uuid"] for item in self.call("POST", "/transcribe", json=body)["transcriptions"]
        ]

    def wait(self, uuid: str, *statuses: str) -> Any:
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            answer = self.call("GET", f"/transcribe/{uuid}")
            if answer["status"] in (statuses or ("completed", "failed")):
                return answer
            time.sleep(0.02)
        raise AssertionError(answer)
