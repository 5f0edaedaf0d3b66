"""The whole service, with a real model, watches a folder as the README says, and is killed."""

import os
import shutil
from pathlib import Path

from tests.support.database import rows
from tests.support.live import PROGRAM, Client, LiveServer, measured, start_server
from tests.support.paths import DATA, ROOT
from tests.support.waiting import until


def test_a_copied_recording_becomes_subtitles(tiny_en_model: Path, tmp_path: Path) -> None:
    storage, inbox, settings = (tmp_path / name for name in ("storage", "inbox", "config.toml"))
    example = (ROOT / "README.md").read_text().split("```toml\n")[1].split("```")[0]
    settings.write_text(example.replace("ggml-base", "ggml-tiny.en"))
    inbox.mkdir()
    program = (*PROGRAM, "--config", str(settings))

    def restart(server: LiveServer) -> LiveServer:
        server.process.kill()
        server.process.wait()
        return start_server(storage, tiny_en_model.parent, program=program, **measured())

    server = start_server(storage, tiny_en_model.parent)
    Client(server, "ann")
    os.mkfifo(inbox / "fifo.mp3")
    shutil.copy(DATA / "jfk.wav", inbox / "talk.wav")
    os.utime(inbox / "talk.wav", (1, 1))  # so that it is still at the second look
    server = restart(server)
    until(lambda: rows(storage, "SELECT 1 FROM transcription WHERE status = 'processing'"))
    server = restart(server)
    until((inbox / "talk.srt").exists)
    server = restart(server)
    until(lambda: rows(storage, "SELECT 1 FROM watched WHERE is_done"))
    assert server.stop() == 0
    names = {"fifo.mp3", "talk.srt", "talk.txt", "talk.wav"}
    assert {path.name for path in inbox.iterdir()} == names
    assert (inbox / "talk.srt").read_text().startswith("1\n00:00:0")
    assert "your country" in (inbox / "talk.txt").read_text()
    assert rows(storage, "SELECT status FROM transcription") == [("completed",)]
    assert rows(storage, "SELECT token_balance FROM user") == [(989,)]
