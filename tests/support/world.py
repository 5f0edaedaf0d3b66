"""A service in this process with one of everything, and requests to it."""

import io
import re
import shutil
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from werkzeug.routing import Rule

from tests.support.accounts import make_admin
from tests.support.ffmpeg import run_ffmpeg
from tests.support.paths import DATA
from tests.support.service import Service
from tests.support.tus import create
from whisper_service import db
from whisper_service.tables import ApiKey, Transcription, User
from whisper_service.web.limits import FailedLoginLimiter, RateLimit

RECORDING = (DATA / "austen-0880.wav").read_bytes()
FOLDERS = ("files", "avatars", "uploads")
OTHER = (DATA / "austen-0930.wav").read_bytes()


@dataclass
class Request:
    method: str
    path: str  # as it stands in the request line
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def environ(self) -> dict[str, Any]:
        """Return the environment that a WSGI server makes of it."""
        environ = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(self.path).decode("latin-1"),
            "QUERY_STRING": _latin(self.query),
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "localhost",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(self.body),
            "wsgi.input_terminated": True,
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        if self.body:
            environ["CONTENT_LENGTH"] = str(len(self.body))
        for name, value in self.headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        return environ


def _latin(text: str) -> str:
    """Encode text as WSGI does: its bytes as Latin-1."""
    return text.encode().decode("latin-1")


class World:
    """A service with one of everything, restored after each request that changed something."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service = service
        self.app = service.client.application
        self.app.testing = False  # so that an exception becomes an answer, as it does when served
        limits = self.app.extensions["services"]  # wrong passwords are to be looked at, all of them
        for name, limit in vars(limits).items():
            if isinstance(limit, RateLimit):
                setattr(limits, name, FailedLoginLimiter(10**9))
        self.picture = self._draw(folder / "picture.png")
        self.admin, self.ann, self.bob = map(service.register, ("admin", "ann", "bob"))
        make_admin("admin")
        self.key = service.with_key(self.ann)
        (ready,) = self.ann.send(("ready.wav", RECORDING))
        order = {"uuid": ready["uuid"], "model": "ggml-tiny.en"}
        self.ann.post("/transcribe", {**order, "format": ["verbose_json", "srt", "vtt"]})
        service.work()
        self.ann.post("/transcribe", {**order, "language": "en"})
        (converting,) = self.ann.send(("converting.wav", OTHER))
        (others,) = self.bob.send(("others.wav", OTHER))
        hook = self.ann.post("/webhook", {"url": "https://example.org/hook"})
        for user in (self.ann, self.admin):
            form = {"avatar": (io.BytesIO(self.picture), "me.png")}
            user.call("PATCH", "/user", data=form)
        self.sessions = [api.authorization.split()[1] for api in (self.ann, self.bob)]
        self.files = [item["uuid"] for item in (ready, converting, others)]
        uploads = [create(api, 100) for api in (self.ann, self.bob)]
        # By the word that stands before them in a path, without its s.
        self.uuids = {
            "file": self.files,
            "upload": uploads,
            "transcribe": [row.uuid for row in Transcription.select()],
            "token": [row.uuid for row in ApiKey.select()],
            "user": [row.uuid for row in User.select()],
            "webhook": [hook["uuid"]],
            "avatar": [row.avatar_uuid for row in User.select() if row.avatar_uuid],
        }
        assert {row.status for row in Transcription.select()} == {"completed", "pending"}
        self._rows = sqlite3.connect(":memory:")
        self._connection.backup(self._rows)
        self._copy = folder / "copy"
        for name in FOLDERS:
            shutil.copytree(service.storage.root / name, self._copy / name)
        self._recordings = self._listing()

    @property
    def callers(self) -> dict[str, str | None]:
        users = {"session": self.ann, "key": self.key, "admin": self.admin}
        return {"nobody": None} | {name: api.authorization for name, api in users.items()}

    @property
    def routes(self) -> list[tuple[Rule, str]]:
        """List the API's routes, without those that would wait for a worker."""
        return [
            (rule, method)
            for rule in sorted(self.app.url_map.iter_rules(), key=str)
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
            if re.match("/api/v1/|/v1/models", rule.rule) and not rule.rule.endswith("/events")
        ]

    def put_back(self) -> None:
        self._rows.backup(self._connection)
        if self._listing() != self._recordings:
            for name in FOLDERS:
                shutil.rmtree(self.service.storage.root / name)
                shutil.copytree(self._copy / name, self.service.storage.root / name)

    def close(self) -> None:
        self._rows.close()

    @property
    def _connection(self) -> sqlite3.Connection:
        return db.database.connection()

    def _listing(self) -> list[Path]:
        root = self.service.storage.root
        return [path for name in FOLDERS for path in sorted((root / name).rglob("*"))]

    @staticmethod
    def _draw(path: Path) -> bytes:
        run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=16x16", "-frames:v", "1", path)
        return path.read_bytes()
