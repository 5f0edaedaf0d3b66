"""Clients of tus that others wrote, over a line that is cut, to a service that is killed."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from blake3 import blake3
from tusclient.client import TusClient

from tests.support.live import Client
from tests.support.paths import DATA, ROOT
from tests.support.proxy import nothing
from tests.support.unreliable import unreliable

NODE = ROOT / "tests" / "node"
RECORDING = DATA / "jfk.wav"
CUT, KILL = 100_000, 250_000  # bytes, of some 350,000


def by_tuspy(url: str, authorization: str) -> str:
    """Upload the recording with tuspy, and return the upload's URL."""
    client = TusClient(url, headers={"Authorization": authorization})
    metadata = {"filename": RECORDING.name}
    with RECORDING.open("rb") as file:
        uploader = client.uploader(file_stream=file, metadata=metadata, retries=50, retry_delay=0.1)
        uploader.upload()
    return str(uploader.url)


def by_tus_js_client(url: str, authorization: str) -> str:
    """Upload the recording with tus-js-client, and return the upload's URL."""
    node = shutil.which("node")
    if node is None or not (NODE / "node_modules" / "tus-js-client").exists():
        pytest.skip("no tus-js-client: npm ci --prefix tests/node")
    command = [node, str(NODE / "tus.js"), url, authorization, str(RECORDING)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("upload", [by_tuspy, by_tus_js_client])
def test_a_recording_arrives_and_is_transcribed(
    tiny_en_model: Path, tmp_path: Path, upload: Callable[[str, str], str]
) -> None:
    with unreliable(tmp_path / "storage", tiny_en_model.parent) as (service, proxy):
        key = Client(service.server, "ann").headers["Authorization"]
        proxy.events += [(CUT, nothing), (KILL, service.kill)]
        url = upload(f"{proxy.url}/api/v1/upload", key)
        assert proxy.events == []
        size = RECORDING.stat().st_size
        assert size < proxy.passed < 2 * size
        answer = requests.get(url, headers={"Authorization": key}, timeout=60).json()
        file = answer["file"]
        assert file["hash"] == blake3(RECORDING.read_bytes()).hexdigest()
        assert file["filename"] == RECORDING.name
        client = Client(service.server, "bob")
        client.headers = {"Authorization": key}
        (job,) = client.transcribe(file["uuid"])
        assert "ask what you can do for your country" in client.wait(job)["data"]["text"].lower()
