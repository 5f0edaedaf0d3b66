"""The program of a cluster's worker where it cannot work yet."""

import subprocess
import sys
from pathlib import Path

from tests.support.live import measured
from tests.support.paths import ROOT
from tests.support.ports import free_port

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
    program = [sys.executable, "-m", "whisper_service.cluster.worker", url, "--host", NOWHERE]
    with subprocess.Popen(
        program, cwd=ROOT, env=environ, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        said = next((line for line in process.stderr if "cannot be joined" in line), "")
        process.terminate()
        assert process.wait(30) == 0
    assert "assign requested address" in said
