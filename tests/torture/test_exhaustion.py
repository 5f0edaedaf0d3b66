"""Requests that cost more than their share, beside a healthy client."""

import json
import time
from pathlib import Path
from random import Random

from tests.support.attacker import HEALTHY, JSON, MODEL, SECONDS, Attacker, beside_a_healthy_client
from tests.support.engine import segment
from tests.support.harness import Figure, scale, seeded
from tests.support.load import kind, loaded, plan
from tests.support.recordings import as_wav, sound
from tests.support.service import PASSWORD
from tests.support.wire import connect, head, login
from whisper_service import db, ids
from whisper_service.tables import File, StoredTranscript, Transcription, User
from whisper_service.transcripts.transcript import Transcript


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
