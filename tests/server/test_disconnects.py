"""Clients who leave without a word while their request waits for something."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.harness import serving
from tests.support.live import Client, LiveServer
from tests.support.paths import DATA
from tests.support.waiting import until
from tests.support.wire import connected, head

PLACES = 8  # of all who wait, with 16 threads
SECONDS = 10  # well before anything is written to those who are gone
SLOW = {
    "FAKE_SECONDS": "60",
    "WHISPER_SERVICE_MODELS_DEFAULT": "ggml-tiny.en",
}


def speech_request(key: str) -> bytes:
    named = b'Content-Disposition: form-data; name="%s"\r\n\r\n'
    model = b"--x\r\n" + named % b"model" + b"whisper-1\r\n"
    file = b"--x\r\n" + named.replace(b"\r\n", b'; filename="a.wav"\r\n', 1) % b"file"
    body = model + file + (DATA / "austen-0880.wav").read_bytes() + b"\r\n--x--\r\n"
    form = "multipart/form-data; boundary=x"
    start = head("POST", "", Content_Length=len(body), Content_Type=form, Authorization=key)
    return start.replace(b"/api/v1", b"/v1/audio/transcriptions", 1) + body


def is_full(server: LiveServer, uuid: str) -> bool:
    with connected(server) as wire:
        wire.send(head("GET", f"/transcribe/{uuid}/events"))
        return wire.status() == 429


@pytest.mark.parametrize("kind", ["events", "wait", "speech"])
def test_a_disconnected_client_frees_its_place(
    stub_models: Path, tmp_path: Path, kind: str
) -> None:
    with serving(tmp_path, stub_models, **SLOW) as server:
        client = Client(server, "ann")
        (uuid,) = client.transcribe(client.upload(DATA / "austen-0880.wav"))
        client.wait(uuid, "processing")
        request = {
            "events": head("GET", f"/transcribe/{uuid}/events"),
            "wait": head("GET", f"/transcribe/{uuid}?wait=60"),
            "speech": speech_request(client.headers["Authorization"]),
        }[kind]
        with ExitStack() as stack:
            # One address gets half of the threads for OpenAI's routes.
            for number in range(PLACES):
                wire = stack.enter_context(connected(server, f"127.0.0.{2 + number % 2}"))
                wire.send(request)
            until(lambda: is_full(server, uuid), SECONDS)
        until(lambda: not is_full(server, uuid), SECONDS)
