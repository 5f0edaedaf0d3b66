"""What the README tells people to type for a cluster works."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.live import QUICK, Client, LiveServer
from tests.support.paths import DATA, ROOT
from tests.support.ports import free_port
from tests.support.readme import block


def test_the_cluster(tmp_path: Path, tiny_en_model: Path) -> None:
    """Two addresses stand for two machines, of which the worker's has no model yet."""
    scheduler, worker, service = (
        block("Several machines", "sh").replace("8786", str(free_port())).splitlines()
    )
    with ExitStack() as stack:
        stack.enter_context(made(scheduler, tmp_path / "scheduler"))
        stack.enter_context(made(f"{worker} HOST=127.0.0.2", tmp_path / "worker"))
        models = {"WHISPER_SERVICE_MODELS_PATH": str(tiny_en_model.parent)}
        started = stack.enter_context(made(service, tmp_path / "service", **models))
        assert started.stdout
        greeting = next(line for line in started.stdout if "is ready on" in line)
        server = LiveServer(started, greeting.rsplit(" ", 1)[1].strip(), tmp_path)
        user = Client(server, "ann")
        (order,) = user.transcribe(user.upload(DATA / "jfk.wav"))
        text = user.wait(order)["data"]["text"]
    assert "what you can do for your country" in text
    assert list((tmp_path / "worker" / "models" / "cluster").glob("*.bin"))


@contextmanager
def made(line: str, folder: Path, **environ: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a line with `make` for somebody whose home is an empty folder, until the end."""
    folder.mkdir()
    program = f"make -o .venv/cluster -o .venv/run BIN={Path(sys.executable).parent} "
    process = subprocess.Popen(
        ["bash", "-c", line.replace("make ", program)],
        cwd=ROOT,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "WHISPER_SERVICE_SERVER_PORT": "0",
            "WHISPER_SERVICE_STORAGE_PATH": str(folder / "storage"),
            "WHISPER_SERVICE_MODELS_PATH": str(folder / "models"),
            "WHISPER_SERVICE_ENGINE_NATIVE": "off",
            **QUICK,
            **environ,
        },
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.communicate(timeout=60)
