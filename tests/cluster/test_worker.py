"""The program of a cluster's worker where it cannot work yet."""

import subprocess
import sys
from pathlib import Path

from tests.support.live import measured
from tests.support.paths import ROOT
from tests.support.ports import free_port

# Of TEST-NET-3 (RFC 5737): no machine has it.
NOWHERE = "203.0.113.1"
STUBBORN = """
import asyncio, os, signal
from whisper_service.cluster import program

async def work():
    os.kill(os.getpid(), signal.SIGTERM)
    for _ in range(2):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            print("cancelled")

program.run(work())
"""


def test_a_worker_tries_again_while_its_address_is_not_there(tmp_path: Path) -> None:
    url = f"tcp://127.0.0.1:{free_port()}"
    environ = {
        "PATH": "/usr/bin:/bin",
        "WHISPER_SERVICE_MODELS_PATH": str(tmp_path),
        "WHISPER_SERVICE_ENGINE_NATIVE": "off",
        **measured(),
    }
    command = [sys.executable, "-m", "whisper_service.cluster.worker", url, "--host", NOWHERE]
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        said = next((line for line in process.stderr if "cannot be joined" in line), "")
        process.terminate()
        assert process.wait(30) == 0
    assert "assign requested address" in said


def test_a_program_ends_even_if_it_takes_that_for_an_error_once() -> None:
    """As a worker does that is just starting: Dask makes another error of a cancellation."""
    done = subprocess.run(
        [sys.executable, "-c", STUBBORN], cwd=ROOT, timeout=60, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, b"cancelled\ncancelled\n")
