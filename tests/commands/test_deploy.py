"""The Dockerfile and the systemd unit fit the service."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.live import Client, start_server
from tests.support.paths import DATA, ROOT

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
SETTINGS = ("SERVER_HOST", "STORAGE_PATH", "MODELS_PATH")
# By the name under which systemd knows them.
UNITS = {
    "whisper-service.service": "whisper-service.service",
    "whisper-cluster@worker.service": "whisper-cluster@.service",
    "whisper-cluster@scheduler.service": "whisper-cluster@.service",
}


def copied_by_docker(target: Path) -> None:
    """Copy what the Dockerfile's COPY lines name, as docker would."""
    ignored = shutil.ignore_patterns("__pycache__")
    image = DOCKERFILE.rpartition("\nFROM ")[2]
    for line in re.findall(r"^COPY (?!--from)(.*)$", image, re.MULTILINE):
        *sources, place = line.split()
        for source in sources:
            path = ROOT / source
            if path.is_dir():
                shutil.copytree(path, target / place, ignore=ignored)
            else:
                shutil.copy(path, target / place)


def test_the_image_holds_all_that_the_service_needs(tmp_path: Path, tiny_en_model: Path) -> None:
    image = tmp_path / "app"
    image.mkdir()
    copied_by_docker(image)
    variables = dict(re.findall(r"(WHISPER_SERVICE_\w+)=(\S+)", DOCKERFILE))
    assert set(variables) == {f"WHISPER_SERVICE_{name}" for name in SETTINGS}
    program = [sys.executable, str(image / "app.py"), "serve"]
    server = start_server(tmp_path / "data", tiny_en_model.parent, program=program)
    try:
        assert run_healthcheck(server.url) == 0
        client = Client(server, "ann")
        (order,) = client.transcribe(client.upload(DATA / "austen-0880.wav"))
        assert "young man" in client.wait(order)["data"]["text"]
    finally:
        assert server.stop() == 0
    assert run_healthcheck(server.url) != 0


def test_the_image_builds_on_the_very_same_base() -> None:
    (base,) = set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
    assert re.fullmatch(r"python:3\.\d+-slim@sha256:[0-9a-f]{64}", base)


def run_healthcheck(url: str) -> int:
    """Run the image's HEALTHCHECK against a service that listens elsewhere."""
    (command,) = re.findall(r'^HEALTHCHECK.*"-c", "(.*)"\]$', DOCKERFILE, re.MULTILINE)
    assert "http://127.0.0.1:8080/" in command
    code = command.replace("http://127.0.0.1:8080", url)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    return done.returncode


def test_docker_sees_no_more_than_it_copies() -> None:
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    named = [
        source
        for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert allowed[0] == "*"
    assert {line[1:] for line in allowed if line.startswith("!")} == set(named)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd here")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_takes_the_unit(name: str, tmp_path: Path) -> None:
    unit = tmp_path / name
    text = (ROOT / "deploy" / UNITS[name]).read_text()
    unit.write_text(text.replace("/opt/whisper-service/.venv/bin/python", sys.executable))
    verify = ["systemd-analyze", "verify", str(unit)]
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    audit = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(unit)]
    done = subprocess.run(audit, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-200:]
