"""Callers who want more than their share, beside a client who wants little.

Each attack comes from one address; the healthy client has another one.
"""

import http.client
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import pytest
from urllib3.filepost import encode_multipart_formdata

from tests.support.disk import as_mounter, small_disk
from tests.support.engine import segment
from tests.support.ffmpeg import run_ffmpeg
from tests.support.harness import FULL, Figure, scale, seeded, serving
from tests.support.live import Client, LiveServer
from tests.support.load import kind, loaded, plan
from tests.support.paths import DATA
from tests.support.recordings import as_wav, sound
from tests.support.service import PASSWORD
from tests.support.uploads import MIB, observed
from tests.support.waiting import until
from tests.support.wire import connect, head, login
from whisper_service import db, ids
from whisper_service.tables import File, StoredTranscript, Transcription, User
from whisper_service.transcripts.transcript import Transcript

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


def test_forms_that_are_not_multipart(stub_models: Path, tmp_path: Path, figure: Figure) -> None:
    name = "40 MiB of urlencoded form to upload routes, 4 at once"
    with beside_a_healthy_client(tmp_path, stub_models, name, figure) as setting:
        server, _, attacked = setting
        attacker = Attacker(server)
        body = b"a&" * (20 * MIB)
        routes = ("POST /api/v1/file", "PATCH /api/v1/user", "POST /v1/audio/transcriptions")

        def send(random: Random) -> None:
            method, path = random.choice(routes).split()
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            attacker.ask(method, path, body, {**attacker.authorization, **form})

        with attacked(), attacker.many(4, send):
            time.sleep(SECONDS)
        assert set(attacker.statuses) <= {0, 200, 400, 413}
        assert attacker.statuses[200] == 1  # the registration


def test_many_small_parts(stub_models: Path, tmp_path: Path, figure: Figure) -> None:
    name = "uploads of 20 and of 60 small recordings, 16 at once"
    with beside_a_healthy_client(tmp_path, stub_models, name, figure) as setting:
        server, _, attacked = setting
        attacker = Attacker(server)
        refused: Counter[bool] = Counter()

        def send(random: Random) -> None:
            parts = random.choice((20, 60))
            files = [("a.wav", as_wav(sound(random, 0.1))) for _ in range(parts)]
            refused[not attacker.upload(*files)] += 1

        with attacked(), attacker.many(16, send):
            time.sleep(SECONDS)
        assert set(attacker.statuses) == {200, 400}
        assert refused[True] == attacker.statuses[400]


def test_a_full_queue(stub_models: Path, tmp_path: Path, figure: Figure) -> None:
    name = "a thousand transcriptions that nobody can pay, 16 who poll them all"
    poor = {"WHISPER_SERVICE_BILLING_INITIAL_TOKEN_BALANCE": "3"}
    with beside_a_healthy_client(tmp_path, stub_models, name, figure, **poor) as setting:
        server, _, attacked = setting
        attacker = Attacker(server)
        random = seeded()
        sounds = [("a.wav", as_wav(sound(random, 4))) for _ in range(12)]
        files = [file["uuid"] for file in attacker.upload(*sounds)]

        def order_and_poll(random: Random) -> None:
            file = random.choice(files)
            if random.random() < 0.3:
                attacker.order(file, prompt=str(random.random()), format=["srt", "vtt"])
            attacker.ask("GET", f"/api/v1/transcribe/{file}")

        with attacked(), attacker.many(16, order_and_poll):
            time.sleep(SECONDS)
        assert set(attacker.statuses) <= {200, 429}


def test_a_flood_of_registrations(stub_models: Path, tmp_path: Path, figure: Figure) -> None:
    name = "registrations, 16 at once from one address"
    cost = {"WHISPER_SERVICE_AUTH_BCRYPT_COST": "12"}
    with beside_a_healthy_client(tmp_path, stub_models, name, figure, **cost) as setting:
        server, _, attacked = setting
        attacker = Attacker(server)

        def register(random: Random) -> None:
            account = {"username": f"u{random.randrange(10**12)}", "password": PASSWORD}
            status, _ = attacker.ask(
                "POST", "/api/v1/user/register", json.dumps(account).encode(), JSON
            )
            if status == 429:
                time.sleep(0.1)

        logins = plan(
            server.url,
            [kind("login", 1, login("healthy", PASSWORD))],
            1,
            SECONDS,
            pause=0.5,
            source="127.0.0.3",
        )
        with loaded(logins) as logged_in, attacked(), attacker.many(16, register):
            time.sleep(SECONDS)
        figure(
            "logins during the registrations",
            "all get in",
            f"{len(logged_in.asked)}, p50 {logged_in.percentile(50):.0f} ms, "
            f"p99 {logged_in.percentile(99):.0f} ms; {attacker.statuses[200]} registered",
        )
        assert set(logged_in.statuses()) == {200}
        assert attacker.statuses[200] <= 101


def test_waiting_clients_that_are_gone(stub_models: Path, tmp_path: Path, figure: Figure) -> None:
    name = "requests that wait, whose clients are gone"
    slow = {"FAKE_SECONDS": "1"}
    with beside_a_healthy_client(tmp_path, stub_models, name, figure, **slow) as setting:
        server, client, attacked = setting
        attacker = Attacker(server)
        (file,) = attacker.upload(("long.wav", as_wav(sound(seeded(), 900))))
        attacker.order(file["uuid"])
        _, text = attacker.ask("GET", f"/api/v1/transcribe/{file['uuid']}")
        uuid = json.loads(text)["transcriptions"][0]["uuid"]

        def leave(random: Random) -> None:
            path = random.choice(("/events", "?wait=60"))
            with connect(server) as connection:
                connection.sendall(head("GET", f"/transcribe/{uuid}{path}"))
                time.sleep(0.02)

        with attacked(), attacker.many(8, leave):
            time.sleep(SECONDS)
        with connect(server, HEALTHY) as connection:
            connection.sendall(head("GET", f"/transcribe/{uuid}/events"))
            assert b" 200 " in connection.recv(64)
        assert client.call("GET", "/health") == {"status": "ok"}


def test_hours_of_silence(stub_models: Path, tmp_path: Path, figure: Figure) -> None:
    name = "five recordings of 12 h of silence"
    silence = tmp_path / "silence.flac"
    hours = scale(12, 1)
    source = f"anullsrc=channel_layout=mono:sample_rate=8000:duration={hours * 3600}"
    run_ffmpeg("-f", "lavfi", "-i", source, "-frame_size", "65535", silence)
    content = silence.read_bytes()
    with beside_a_healthy_client(tmp_path / "service", stub_models, name, figure) as setting:
        server, client, attacked = setting
        attacker = Attacker(server)
        with attacked():
            for number in range(5):
                # Other bytes behind the end make another file of it.
                attacker.upload((f"{number}.flac", content + bytes(number + 1)))
            begun = time.monotonic()
            clip = client.upload(DATA / "austen-0890.wav")
            until(lambda: _duration(client, clip))
            seconds = time.monotonic() - begun
        figure("a clip behind them", "a few seconds", f"ready to transcribe in {seconds:.1f} s")
        assert seconds < (5 if FULL else 30)


def _duration(client: Client, uuid: str) -> float | None:
    files = client.call("GET", "/file")["files"]
    found: float | None = next(file for file in files if file["uuid"] == uuid)["duration_seconds"]
    return found


def test_chunked_uploads_on_a_small_disk(
    stub_models: Path, tmp_path: Path, figure: Figure, request: pytest.FixtureRequest
) -> None:
    as_mounter(request)
    name = "uploads in chunks, larger than the disk"
    reserve = 64 * MIB
    settings = {"WHISPER_SERVICE_STORAGE_RESERVE_BYTES": str(reserve)}
    with (
        small_disk(tmp_path / "disk", 256 * MIB) as disk,
        beside_a_healthy_client(disk / "storage", stub_models, name, figure, **settings) as setting,
    ):
        server, _, attacked = setting
        attacker = Attacker(server)
        start, _, end = encode_multipart_formdata([("file", ("a.wav", b"\0cut\0"))], "b")[
            0
        ].partition(b"\0cut\0")
        least = [10**12]

        def pieces() -> Iterator[bytes]:
            yield start + as_wav(b"")
            for _ in range(512):
                yield bytes(MIB // 2)
            yield end

        def send(_: Random) -> None:
            form = {"Content-Type": "multipart/form-data; boundary=b"}
            attacker.ask(
                "POST",
                "/api/v1/file",
                pieces(),  # type: ignore[arg-type] # sent in chunks
                {**attacker.authorization, **form},
            )

        def watch() -> None:
            while not attacker.over.wait(0.005):
                least[0] = min(least[0], _free(disk))

        watcher = threading.Thread(target=watch)
        watcher.start()
        with attacked(), attacker.many(4, send):
            time.sleep(SECONDS)
        watcher.join()
        figure("the disk's reserve meanwhile", f"{reserve // MIB} MiB", f"{least[0] // MIB} MiB")
        assert least[0] > reserve - 8 * MIB
        assert attacker.statuses[507] + attacker.statuses[0] > 0


def _free(disk: Path) -> int:
    status = os.statvfs(disk)
    return status.f_bavail * status.f_frsize


def test_renderings_of_a_long_transcript(stub_models: Path, tmp_path: Path, figure: Figure) -> None:
    name = "renderings of a transcript of 12 h, each another, 16 at once"
    with beside_a_healthy_client(tmp_path, stub_models, name, figure) as setting:
        server, client, attacked = setting
        attacker = Attacker(server)
        uuid = _add_transcript(server.storage, scale(12, 2))

        def render(random: Random) -> None:
            width = random.randrange(20, 1000)
            name = random.choice(("srt", "vtt", "tsv", "lrc", "verbose_json"))
            query = f"?format={name}&max_line_width={width}"
            attacker.ask("GET", f"/api/v1/transcribe/{uuid}{query}")

        with attacked(), attacker.many(16, render):
            time.sleep(SECONDS)
        assert set(attacker.statuses) <= {200, 429}
        assert client.call("GET", f"/transcribe/{uuid}?format=srt")["data"]["text"]


def _add_transcript(storage: Path, hours: int) -> str:
    """Put a finished transcription with words into the database of a service that runs."""
    segments = [
        segment(start, start + 4, " ".join(["word"] * 10)) for start in range(0, hours * 3600, 4)
    ]
    transcript = Transcript("word", "en", hours * 3600, segments)
    uuid, file = ids.uuid7(), ids.uuid7()
    db.open_database(storage / "service.db", create=False, migrate=False)
    try:
        with db.write_transaction():
            of = {"file_uuid": file, "model": MODEL, "model_version": "1", "language": "en"}
            stored = StoredTranscript.create(**of, data=transcript.to_json())
            Transcription.create(
                uuid=uuid,
                user_id=User.get(User.username == "attacker").id,
                **of,
                format="srt",
                status="completed",
                created_at=0,
                claim=ids.uuid7(),
                samples=1,
                transcript_id=stored.id,
            )
            assert File.select().exists()
    finally:
        db.database.close()
    return uuid


def test_a_stranger_who_guesses(stub_models: Path, tmp_path: Path, figure: Figure) -> None:
    name = "wrong passwords for one account, 8 at once from one address"
    with beside_a_healthy_client(tmp_path, stub_models, name, figure) as setting:
        server, client, attacked = setting
        attacker = Attacker(server)
        guess = json.dumps({"username": "healthy", "password": "no"}).encode()
        logins = plan(
            server.url,
            [kind("login", 1, login("healthy", PASSWORD))],
            1,
            SECONDS,
            pause=0.2,
            source=HEALTHY,
        )
        with (
            loaded(logins) as logged_in,
            attacked(),
            attacker.many(8, lambda _: attacker.ask("POST", "/api/v1/user/login", guess, JSON)),
        ):
            time.sleep(SECONDS)
        assert set(logged_in.statuses()) == {200}
        assert attacker.statuses[401] <= 20
        change = {"old_password": PASSWORD, "password": "Another-Horse-10"}
        assert client.call("PATCH", "/user", json=change)["updated_fields"] == ["password"]
