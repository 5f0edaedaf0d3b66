"""kill -9 at any moment: nothing is transcribed or paid twice, and nothing is lost."""

import itertools
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.database import rows
from tests.support.live import measured
from tests.support.paths import ROOT
from tests.support.service import in_process
from tests.support.watched_process import resume
from tests.support.watching import TALK, watched_settings


def attack(folder: Path, models: Path, effect: int) -> bool:
    """Kill a service before its n-th effect, and start it again; return whether it got so far."""
    folder.mkdir()
    settings = watched_settings(folder, models)
    watched = Path(settings.watch.path)
    (watched / "talk.wav").write_bytes(TALK)
    program = [sys.executable, "-m", "tests.support.watched_process", folder, models, str(effect)]
    done = subprocess.run(program, cwd=ROOT, env=measured(), check=False, timeout=60)
    assert done.returncode in {0, -signal.SIGKILL}
    with in_process(settings) as service:
        resume(service).settle()
    assert {path.name for path in watched.iterdir()} == {"talk.srt", "talk.wav"}
    assert "Hello" in (watched / "talk.srt").read_text()
    assert rows(settings.storage.path, "SELECT status FROM transcription") == [("completed",)]
    assert rows(settings.storage.path, "SELECT token_balance FROM user") == [(999,)]
    assert rows(settings.storage.path, "SELECT is_done, error FROM watched") == [(1, None)]
    assert len(list((settings.storage.path / "files").iterdir())) == 1
    assert not list((settings.storage.path / "tmp").iterdir())
    return done.returncode != 0


@pytest.mark.parametrize("effect", [20, 40, 66])
def test_a_kill_loses_nothing_and_does_nothing_twice(
    tmp_path: Path, stub_models: Path, effect: int
) -> None:
    assert attack(tmp_path / "killed", stub_models, effect)


@pytest.mark.torture
def test_a_kill_may_come_before_any_effect(tmp_path: Path, stub_models: Path) -> None:
    attacks = (attack(tmp_path / str(n), stub_models, n) for n in itertools.count(1))
    assert len(list(itertools.takewhile(bool, attacks))) > 60
