"""A service in this process, and its client."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

from flask import Flask
from flask.testing import FlaskClient
from urllib3.filepost import encode_multipart_formdata
from werkzeug.test import TestResponse

from tests.support.engine import FakeEngine
from whisper_service import config, db, webhooks
from whisper_service.config import Config
from whisper_service.files.storage import Storage
from whisper_service.jobs import queue
from whisper_service.jobs.worker import Worker
from whisper_service.web import create_app
from whisper_service.web.services import Services

PASSWORD = "Correct-Horse-9"


@dataclass
class Api:
    """A client of the API that checks each status."""

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
        """Make a request that must fail, and return the error's text."""
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
    """Encode as most clients do: escape everything but ASCII."""
    if body is None:
        return {}
    return {"data": json.dumps(body), "content_type": "application/json"}


@dataclass
class Service:
    """A service whose worker takes a step when the test calls for it."""

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
        """Convert and transcribe everything that waits, with the fake engine."""
        while self.convert_once() or queue.complete_stored():
            pass
        self.transcribe(self.engine)

    def transcribe(self, engine: FakeEngine) -> None:
        """Transcribe everything that waits."""
        while self.worker.transcribe_once(engine):
            pass


def settings_in(folder: Path, models: Path) -> Config:
    """Return settings of a service that keeps everything below a folder."""
    return Config(
        server=config.ServerSettings(port=0),
        storage=config.StorageSettings(path=folder / "storage", max_upload_bytes=1024**2),
        models=config.ModelsSettings(path=models, default="ggml-tiny.en"),
        auth=config.AuthSettings(bcrypt_cost=4),
    )


@cache
def _application() -> Flask:
    """Compiling its URL map takes longer than most tests, which is why they share it."""
    return create_app(cast("Services", None), webhooks.BLUEPRINTS)


@contextmanager
def in_process(settings: Config) -> Iterator[Service]:
    """Serve in this process. One service at a time: they share the application."""
    storage = Storage(settings.storage.path)
    db.open_database(storage.database)
    worker = Worker(settings, storage)
    services = Services(settings, storage, worker)
    app = _application()
    app.extensions["services"] = services
    try:
        yield Service(settings, storage, worker, app.test_client())
    finally:
        worker.stop()
        db.database.close()
