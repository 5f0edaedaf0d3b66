"""Uploads that cost more than their share, beside a healthy client."""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from urllib3.filepost import encode_multipart_formdata

from tests.support.attacker import SECONDS, Attacker, beside_a_healthy_client
from tests.support.disk import as_mounter, small_disk
from tests.support.ffmpeg import run_ffmpeg
from tests.support.harness import FULL, Figure, scale
from tests.support.live import Client
from tests.support.paths import DATA
from tests.support.recordings import as_wav, sound
from tests.support.uploads import MIB
from tests.support.waiting import until


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
        least = [10**12]

        def send(_: Random) -> None:
            headers = {"Content-Type": "multipart/form-data; boundary=b", **attacker.authorization}
            attacker.ask("POST", "/api/v1/file", _endless_wav(), headers)  # type: ignore[arg-type]

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


def _endless_wav() -> Iterator[bytes]:
    """Yield a form with a WAV of 256 MiB, which is sent in chunks."""
    form, _ = encode_multipart_formdata([("file", ("a.wav", b"\0cut\0"))], "b")
    start, _, end = form.partition(b"\0cut\0")
    yield start + as_wav(b"")
    for _ in range(512):
        yield bytes(MIB // 2)
    yield end


def _free(disk: Path) -> int:
    status = os.statvfs(disk)
    return status.f_bavail * status.f_frsize
