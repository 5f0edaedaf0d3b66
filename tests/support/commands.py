"""The commands of app.py, as a person types them."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support.live import QUICK, measured
from tests.support.paths import ROOT


def run(
    *arguments: str, typed: str = "", cwd: Path | None = None, **environ: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(ROOT / "app.py"), *arguments],
        cwd=cwd,
        env={**measured(), **QUICK, "PATH": os.environ["PATH"], **environ},
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def failure(*arguments: str, typed: str = "", **environ: str) -> str:
    """Run a command that must fail with one line, and return that."""
    done = run(*arguments, typed=typed, **environ)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line
