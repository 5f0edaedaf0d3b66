"""The thread of its own, which is there only while a folder is watched."""

import os
import subprocess
import sys
import threading
from pathlib import Path

from tests.support.live import measured
from tests.support.paths import ROOT
from tests.support.service import Service
from tests.support.waiting import until
from tests.support.watching import TALK
from whisper_service import watch
from whisper_service.tables import Transcription

OFF = """
import sys
from whisper_service import config
from whisper_service.server import server
assert not server._optional_rooms(config.Config())
assert not any(name.startswith("whisper_service.watch") for name in sys.modules)
"""


def watching() -> bool:
    return any(thread.name == "watch" for thread in threading.enumerate())


def test_it_watches_until_it_is_stopped(service: Service) -> None:
    service.register("ann")
    stop = watch.start(service.settings, service.storage, service.worker)
    talk = Path(service.settings.watch.path) / "talk.wav"
    talk.write_bytes(TALK)
    os.utime(talk, (1, 1))
    until(lambda: Transcription.select().exists())
    assert watching()
    stop()
    assert not watching()


def test_it_goes_on_after_an_error(service: Service, caplog, monkeypatch) -> None:
    errors = iter([ZeroDivisionError(), OSError(28, "No space left on device"), None])
    monkeypatch.setattr("whisper_service.watch.thread.ERROR_PAUSE", 0)
    monkeypatch.setattr("whisper_service.watch.thread.LONG_PAUSE", 0)
    over = threading.Event()

    def look(_: object) -> bool:
        error = next(errors, None)
        if error:
            raise error
        over.set()
        return True

    monkeypatch.setattr("whisper_service.watch.watcher.Watcher.look_once", look)
    service.register("ann")
    stop = watch.start(service.settings, service.storage, service.worker)
    assert over.wait(30)
    stop()
    crash, full = (record.getMessage() for record in caplog.records)
    assert crash == "A look at the watched folder failed"
    assert full == "Watched folder: The server's disk is full"


def test_nothing_of_it_is_imported_while_it_is_off() -> None:
    subprocess.run([sys.executable, "-c", OFF], cwd=ROOT, env=measured(), check=True, timeout=60)
