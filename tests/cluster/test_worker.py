"""The program of a cluster's worker where it cannot work yet."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.support.live import measured
from tests.support.paths import ROOT
from tests.support.ports import free_port
from whisper_service.cluster import program

# Of TEST-NET-3 (RFC 5737): no machine has it.
NOWHERE = "203.0.113.1"


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


def test_a_worker_that_looks_for_its_scheduler_can_be_stopped() -> None:
    """While it starts Dask takes a cancellation for an error, which is tried again."""

    async def looks_for_ever() -> None:
        os.kill(os.getpid(), signal.SIGTERM)  # only now it ends the work, and not the tests
        while True:
            with suppress(RuntimeError):
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError as error:
                    if not stopped:
                        stopped.append(True)
                        raise RuntimeError from error
                    raise

    stopped: list[bool] = []
    program.run(looks_for_ever())
    assert stopped == [True]
