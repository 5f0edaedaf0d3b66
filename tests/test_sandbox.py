"""Limits hold on real programs, and none of them outlives its parent."""

import os
import resource
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from whisper_service import _sandboxed, sandbox
from whisper_service.sandbox import Limits

SECONDS = 30
MIB = 1024**2
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="of Linux alone")


def run(limits: Limits, code: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    program = [sys.executable, "-I", "-S", "-c", f"import os, resource, sys; {code}", *arguments]
    return subprocess.run(
        [*sandbox.command(limits), *program],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def said(limits: Limits, expression: str) -> str:
    ended = run(limits, f"print({expression})")
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.strip()


def test_a_program_gets_its_arguments_and_its_exit_code_comes_back() -> None:
    ended = run(Limits(), "print(sys.argv[1:]); sys.exit(7)", "a b", "", "-c", "ü$(")
    assert ended.stdout.strip() == str(["a b", "", "-c", "ü$("])
    assert ended.returncode == 7


def test_without_limits_the_parents_apply() -> None:
    for kind in _sandboxed.KINDS:
        assert said(Limits(), f"resource.getrlimit({kind})") == str(resource.getrlimit(kind))
    assert said(Limits(), "os.nice(0)") == str(os.nice(0))


def test_cpu_time_is_limited() -> None:
    ended = run(Limits(cpu=1), "\nwhile True: pass")
    assert ended.returncode in {-signal.SIGKILL, -signal.SIGXCPU}


def test_memory_is_limited() -> None:
    take = f"bytearray({256 * MIB}); print('taken')"
    assert run(Limits(memory=512 * MIB), take).stdout.strip() == "taken"
    ended = run(Limits(memory=128 * MIB), take)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "MemoryError" in ended.stderr


def test_file_size_is_limited(tmp_path: Path) -> None:
    write = "open(sys.argv[1], 'wb', buffering=0).write(bytes(5000))"
    path = tmp_path / "file"
    assert run(Limits(file=5000), write, str(path)).returncode == 0
    assert path.stat().st_size == 5000
    again = f"{write}; open(sys.argv[1], 'ab', buffering=0).write(bytes(5000))"
    ended = run(Limits(file=6000), again, str(path))
    assert ended.returncode == 0, "a write is cut short before one fails"
    assert path.stat().st_size == 6000
    ended = run(Limits(file=0), write, str(path))
    assert "File too large" in ended.stderr
    assert path.stat().st_size == 0


def test_a_limit_cannot_be_lifted_again() -> None:
    if os.geteuid() == 0:
        pytest.skip("root may")
    ended = run(Limits(memory=512 * MIB), "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))")
    assert "ValueError" in ended.stderr


def test_niceness_is_over_the_parents() -> None:
    assert said(Limits(niceness=5), "os.nice(0)") == str(min(19, os.nice(0) + 5))


def test_no_core_is_dumped() -> None:
    assert said(Limits(), "resource.getrlimit(resource.RLIMIT_CORE)") == "(0, 0)"


@LINUX
def test_a_sandboxed_program_is_killed_first_when_memory_runs_out() -> None:
    assert (
        said(Limits(), "open('/proc/self/oom_score_adj').read()") == _sandboxed.OOM_SCORE.decode()
    )
    mine = Path("/proc/self/oom_score_adj").read_text(encoding="ascii").strip()
    assert mine != _sandboxed.OOM_SCORE.decode(), "the service itself is not"


PARENT = """
import subprocess, sys
from whisper_service import sandbox
command = sandbox.command(sandbox.Limits()) if sys.argv[1] == "limited" else []
sleep = [sys.executable, "-I", "-S", "-c", "import time; print('here', flush=True); time.sleep(60)"]
child = subprocess.Popen([*command, *sleep], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


def outlives_its_parent(kind: str, seconds: float) -> bool:
    """Start a parent with a child that sleeps, kill it, and tell whether the child goes on."""
    command = [sys.executable, "-c", PARENT, kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        watched = os.pidfd_open(child)
        try:
            parent.kill()
            parent.wait(SECONDS)
            ended, _, _ = select.select([watched], [], [], seconds)
            if not ended:
                os.kill(child, signal.SIGKILL)
            return not ended
        finally:
            os.close(watched)


@LINUX
def test_a_child_dies_with_its_parent() -> None:
    assert not outlives_its_parent("limited", SECONDS)
    assert outlives_its_parent("free", 0.5)


@LINUX
def test_a_child_whose_parent_is_gone_does_not_begin() -> None:
    command = [*sandbox.command(Limits()), "/bin/echo", "begun"]
    command[command.index(str(os.getpid()))] = "1"
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", "the parent is gone\n")
