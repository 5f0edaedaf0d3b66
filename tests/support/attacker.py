"""A client that wants more than its share, beside one that wants little.

The attack comes from one address; the healthy client has another one.
"""

import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

from urllib3.filepost import encode_multipart_formdata

from tests.support.harness import FULL, Figure, scale, seeded, serving
from tests.support.live import Client, LiveServer
from tests.support.load import kind, loaded, plan
from tests.support.paths import DATA
from tests.support.service import PASSWORD
from tests.support.uploads import MIB, observed
from tests.support.wire import head

SECONDS = scale(20, 3)
HEALTHY, ATTACKER = "127.0.0.2", "127.0.0.1"
GOAL = "healthy client's p99 < 500 ms, service < 300 MB"
MEMORY = 300 * MIB
MODEL = "ggml-tiny.en"
SHORT = DATA / "austen-0880.wav"
JSON = {"Content-Type": "application/json"}


class Attacker:
    """A user of the service who asks from an address of their own, in many threads."""

    def __init__(self, server: LiveServer, name: str = "attacker") -> None:
        self.server = server
        self.statuses: Counter[int] = Counter()
        self.over = threading.Event()
        body = json.dumps({"username": name, "password": PASSWORD}).encode()
        answer = self.ask("POST", "/api/v1/user/register", body, JSON)
        self.authorization = {"Authorization": f"Basic {json.loads(answer[1])['session_id']}"}

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Ask on a connection of its own. Status 0 stands for no answer."""
        address = urlsplit(self.server.url).netloc
        connection = http.client.HTTPConnection(address, timeout=60, source_address=(ATTACKER, 0))
        status, text = 0, b""
        try:
            with suppress(OSError, http.client.HTTPException):
                connection.request(method, path, body, headers or {})
                response = connection.getresponse()
                status, text = response.status, response.read()
        finally:
            connection.close()
        self.statuses[status] += 1
        return status, text

    def upload(self, *files: tuple[str, bytes]) -> list[dict[str, Any]]:
        fields = [(f"file{number}", file) for number, file in enumerate(files)]
        body, content_type = encode_multipart_formdata(fields)
        headers = {**self.authorization, "Content-Type": content_type}
        status, text = self.ask("POST", "/api/v1/file", body, headers)
        return json.loads(text)["files"] if status == 200 else []

    def order(self, file: str, **fields: Any) -> int:
        body = json.dumps({"uuid": file, "model": MODEL, **fields}).encode()
        return self.ask("POST", "/api/v1/transcribe", body, {**JSON, **self.authorization})[0]

    @contextmanager
    def many(self, threads: int, act: Callable[[Random], object]) -> Iterator[None]:
        """Do something again and again in so many threads, until the block ends."""

        def go_on(number: int) -> None:
            random = seeded(number)
            while not self.over.is_set():
                act(random)

        with ThreadPoolExecutor(threads) as pool:
            running = [pool.submit(go_on, number) for number in range(threads)]
            try:
                yield
            finally:
                self.over.set()
        for thread in running:
            thread.result()


@contextmanager
def beside_a_healthy_client(
    folder: Path, models: Path, name: str, figure: Figure, **environ: str
) -> Iterator[tuple[LiveServer, Client, Callable[[], Any]]]:
    """Serve, and measure what a healthy client sees while `attacked()`, a context, is entered."""
    environ = {"WHISPER_SERVICE_AUTH_BCRYPT_COST": "6", **environ}
    with serving(folder, models, **environ) as server:
        client = Client(server, "healthy")
        transcription = client.transcribe(client.upload(SHORT))[0]
        client.wait(transcription)
        key = client.headers["Authorization"]
        kinds = [
            kind("health", 1, head("GET", "/health")),
            kind("status", 5, head("GET", f"/transcribe/{transcription}")),
            kind("list", 2, head("GET", "/file", Authorization=key)),
        ]
        using = plan(server.url, kinds, 3, SECONDS, pause=0.05, source=HEALTHY)

        @contextmanager
        def attacked() -> Iterator[None]:
            with observed(server) as process:
                with loaded(using) as used:
                    yield
                memory = process.peak_memory()
            slow = used.percentile(99)
            figure(
                name,
                GOAL,
                f"p50 {used.percentile(50):.0f}, p99 {slow:.0f} ms of {len(used.asked)}, "
                f"{memory // MIB} MiB",
            )
            assert set(used.statuses()) == {200}
            assert slow < (500 if FULL else 5000)
            assert memory < MEMORY

        yield server, client, attacked
