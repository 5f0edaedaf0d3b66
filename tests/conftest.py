"""Fixtures: a service in a temporary folder, in this process or in one of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from urllib3.filepost import encode_multipart_formdata
from werkzeug.test import TestResponse

from tests.support.engine import FakeEngine
from whisper_service import config, db
from whisper_service.config import Config
from whisper_service.files.storage import Storage
from whisper_service.jobs import queue
from whisper_service.jobs.worker import Worker
from whisper_service.models import fetch
from whisper_service.web import create_app
from whisper_service.web.services import Services

ROOT = Path(__file__).parent.parent
DATA = Path(__file__).parent / "data"
MODELS = Path(__file__).parent / "weights"
PASSWORD = "Correct-Horse-9"
PROGRAM = (sys.executable, str(ROOT / "app.py"))


@pytest.fixture(scope="session")
def tiny_en_model() -> Path:
    """The real tiny.en, fetched once into a folder that git ignores."""
    MODELS.mkdir(exist_ok=True)
    return fetch.fetch("ggml-tiny.en", MODELS)


@pytest.fixture
def settings(tmp_path: Path, tiny_en_model: Path) -> Config:
    return Config(
        server=config.ServerSettings(port=0),
        storage=config.StorageSettings(path=tmp_path / "storage", max_upload_bytes=1024**2),
        models=config.ModelsSettings(path=tiny_en_model.parent),
        auth=config.AuthSettings(bcrypt_cost=4),
    )


@dataclass
class Api:
    """A client of the interface that says what it expects."""

    client: FlaskClient
    authorization: str | None = None
    prefix: str = "/api/v1"

    def call(self, method: str, path: str, expect: int = 200, **arguments: Any) -> TestResponse:
        headers = {"Authorization": self.authorization} if self.authorization else {}
        headers |= arguments.pop("headers", {})
        response = self.client.open(
            self.prefix + path, method=method, headers=headers, buffered=True, **arguments
        )
        assert response.status_code == expect, (response.status_code, response.text[:500])
        return response

    def get(self, path: str, **arguments: Any) -> Any:
        return self.call("GET", path, **arguments).json

    def post(self, path: str, body: Any = None, **arguments: Any) -> Any:
        return self.call("POST", path, **_json(body), **arguments).json

    def error(self, method: str, path: str, status: int, body: Any = None, **more: Any) -> str:
        """Make a request that must fail, and return what it says."""
        response = self.call(method, path, expect=status, **_json(body), **more)
        assert response.content_type == "text/plain; charset=utf-8"
        return response.text

    def upload(self, *paths: Path) -> list[dict[str, Any]]:
        return self.send(*((path.name, path.read_bytes()) for path in paths))

    def send(self, *files: tuple[str, bytes]) -> list[dict[str, Any]]:
        """Upload contents under their names, each in a form field of its own."""
        fields = [(f"file{number}", file) for number, file in enumerate(files)]
        body, content_type = encode_multipart_formdata(fields)
        return self.call("POST", "/file", data=body, content_type=content_type).json["files"]


def _json(body: Any) -> dict[str, Any]:
    """Encode as most clients do, who send ASCII whatever is in the text."""
    if body is None:
        return {}
    return {"data": json.dumps(body), "content_type": "application/json"}


@dataclass
class Service:
    """A service whose worker takes its steps when the test says so."""

    settings: Config
    storage: Storage
    worker: Worker
    client: FlaskClient
    engine: FakeEngine = field(default_factory=FakeEngine)

    @property
    def anyone(self) -> Api:
        return Api(self.client)

    def register(self, username: str = "ann") -> Api:
        body = {"username": username, "password": PASSWORD}
        session = self.anyone.post("/user/register", body)["session_id"]
        return Api(self.client, f"Basic {session}")

    def with_key(self, api: Api) -> Api:
        key = api.post("/user/token", {"name": "key"})["token"]
        return replace(api, authorization=f"Bearer {key}")

    def convert_once(self) -> bool:
        """Convert the oldest file that waits, in both steps."""
        extracted = self.worker.extract_once()
        return self.worker.encode_once() or extracted

    def work(self) -> None:
        """Do all the work that waits, with the fake engine."""
        while self.convert_once() or queue.complete_stored():
            pass
        self.transcribe(self.engine)

    def transcribe(self, engine: FakeEngine) -> None:
        """Do all the transcribing that waits."""
        while self.worker.transcribe_once(engine):
            pass


@pytest.fixture(scope="session", autouse=True)
def _private() -> None:
    """Keep what tests write from other users, as app.py does."""
    os.umask(0o077)


@pytest.fixture
def service(settings: Config) -> Iterator[Service]:
    storage = Storage(settings.storage.path)
    db.open_database(storage.database)
    worker = Worker(settings, storage)
    app = create_app(Services(settings, storage, worker))
    yield Service(settings, storage, worker, app.test_client())
    worker.stop()
    db.database.close()


@dataclass
class LiveServer:
    process: "subprocess.Popen[str]"
    url: str
    storage: Path

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(30)


def measured() -> dict[str, str]:
    """Give a process of its own what it needs for its coverage to count."""
    return {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}


def launch(
    storage: Path, models: Path, *, program: Sequence[str] = PROGRAM, **environ: str
) -> "subprocess.Popen[str]":
    """Start `app.py` on a free port, as a user would."""
    variables = {
        "PATH": "/usr/bin:/bin",
        "WHISPER_SERVICE_SERVER_PORT": "0",
        "WHISPER_SERVICE_STORAGE_PATH": str(storage),
        "WHISPER_SERVICE_MODELS_PATH": str(models),
        **environ,
    }
    return subprocess.Popen(
        program,
        cwd=ROOT,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def start_server(storage: Path, models: Path, **how: Any) -> LiveServer:
    """Start it as `launch` does, and wait until it says where it is."""
    process = launch(storage, models, **how)
    assert process.stdout
    with process.stdout:
        greeting = process.stdout.readline()
        process.stdout.readline()
        process.stdout.readline()
        process.stdout.readline()
    return LiveServer(process, greeting.rsplit(" ", 1)[1].strip(), storage)


@pytest.fixture(scope="session")
def live_server(
    tiny_en_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    server = start_server(tmp_path_factory.mktemp("live"), tiny_en_model.parent, **measured())
    yield server
    assert server.stop() == 0
