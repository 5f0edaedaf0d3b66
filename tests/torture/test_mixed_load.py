"""Many clients at once, doing what clients do, beside a large upload."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.crowd import Kind
from tests.support.harness import FULL, Figure, canary, scale, serving
from tests.support.live import Client
from tests.support.load import Result, kind, loaded, plan
from tests.support.paths import DATA
from tests.support.service import PASSWORD
from tests.support.uploads import GIB, MIB, Recording, observed, send
from tests.support.wire import head, login

MEMORY = 200 * MIB
# Of each client, after an answer: together some 200 requests a second, half of what 2 cores answer.
PAUSE_SECONDS = 0.25


@dataclass(frozen=True)
class Found:
    result: Result
    memory: int


def kinds(client: Client) -> list[Kind]:
    """What clients ask for: above all, whether their transcription is done."""
    key = client.headers["Authorization"]
    file = client.upload(DATA / "austen-0880.wav")
    (transcription,) = client.transcribe(file)
    client.wait(transcription)
    return [
        kind("status", 70, head("GET", f"/transcribe/{transcription}")),
        kind("list", 15, head("GET", "/file", Authorization=key)),
        kind("download", 10, head("GET", f"/file/{file}")),
        kind("login", 5, login("ann", PASSWORD)),
    ]


def attack(
    folder: Path, models: Path, clients: int, seconds: float, size: int, broken: str = ""
) -> Found:
    with serving(folder, models, broken=broken) as server:
        client = Client(server, "ann")
        busy = plan(server.url, kinds(client), clients, seconds, pause=PAUSE_SECONDS)
        with observed(server) as process, loaded(busy) as result:
            recording = Recording(size)
            assert send(server, client, recording)["hash"] == recording.hash
        memory = process.peak_memory()
    assert result.statuses().keys() == {200}
    for name in ("status", "list", "download"):
        assert set(result.statuses(name)) == {200}
    assert result.statuses("login")[200]
    assert result.percentile(99, "status") < (150 if FULL else 1500)
    assert memory < MEMORY
    return Found(result, memory)


def test_many_clients_beside_a_large_upload(
    stub_models: Path, tmp_path: Path, figure: Figure
) -> None:
    size = scale(GIB, 32 * MIB)
    if shutil.disk_usage(tmp_path).free < 5 * size:
        pytest.skip("the disk has no room for the upload")
    clients, seconds = scale(64, 8), scale(60, 3)
    found = attack(tmp_path, stub_models, clients, seconds, size)
    result = found.result
    figure(
        f"mixed load: {clients} clients for {seconds} s beside {size // MIB} MiB",
        "0 errors, status p99 < 150 ms, memory < 200 MB",
        f"{dict(result.statuses())} of {len(result.asked)} requests, status p50 "
        f"{result.percentile(50, 'status'):.0f}, p99 {result.percentile(99, 'status'):.0f} ms, "
        f"{found.memory // MIB} MiB",
    )


@canary
def test_the_attack_detects_bodies_held_in_memory(stub_models: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        attack(tmp_path, stub_models, 2, 1, 2 * MEMORY, "bodies in memory")
