"""What cannot be done now waits: it is reported once, tried again, and done when it can be."""

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.jobs import JFK, balance, statuses
from tests.support.watching import OTHER, TALK, WatchedFolder
from whisper_service import billing, config
from whisper_service.db import write_transaction
from whisper_service.errors import Cancelled
from whisper_service.files.storage import IncomingFile
from whisper_service.jobs import abandoned
from whisper_service.tables import File, Transcription, User, Watched
from whisper_service.watch import reading
from whisper_service.watch.watcher import Watcher


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "whisper_service.watch")


def reported(watched: WatchedFolder, caplog: pytest.LogCaptureFixture) -> str:
    """Look for half an hour; return the only line that is logged."""
    for _ in range(180):
        watched.look()
    (line,) = (each.getMessage() for each in caplog.records)
    caplog.clear()
    return line.removeprefix("Watched folder: ")


def finish(watched: WatchedFolder, caplog: pytest.LogCaptureFixture) -> None:
    """Check that the recording is transcribed once, now that it can be."""
    watched.now += 3600
    watched.settle()
    assert watched.names() == ["talk.srt", "talk.wav"]
    assert Transcription.select().where(Transcription.status != "failed").count() == 1
    assert not caplog.records


def set_balance(tokens: int) -> None:
    with write_transaction():
        billing.set_balance(User.get(), tokens)


def test_for_its_model(
    watched: WatchedFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    models = watched.service.settings.models.path
    empty = tmp_path / "models"
    empty.mkdir()
    watched.service.settings = replace(
        watched.service.settings, models=config.ModelsSettings(path=empty)
    )
    watched.restart()
    watched.add("talk.wav", TALK)
    assert reported(watched, caplog) == "Model not found: ggml-tiny.en"
    assert not File.select().exists()
    os.link(models / "ggml-tiny.en.bin", empty / "ggml-tiny.en.bin")
    finish(watched, caplog)


def test_not_for_a_clock_that_was_set_back(
    watched: WatchedFolder, caplog: pytest.LogCaptureFixture
) -> None:
    watched.service.storage.quota_bytes = 1
    watched.add("talk.wav", TALK)
    watched.settle()
    watched.service.storage.quota_bytes = 0
    watched.now -= 10**6
    watched.settle()
    assert watched.names() == ["talk.srt", "talk.wav"]


def test_for_a_language_that_the_model_knows(
    watched: WatchedFolder, caplog: pytest.LogCaptureFixture
) -> None:
    watched.restart(language="de")
    watched.add("talk.wav", TALK)
    assert reported(watched, caplog) == "Model ggml-tiny.en knows English only, not de"
    assert not File.select().exists()
    watched.restart(language="en")
    finish(watched, caplog)


def test_for_tokens(watched: WatchedFolder, caplog: pytest.LogCaptureFixture) -> None:
    set_balance(0)
    watched.add("talk.wav", TALK)
    watched.look()
    watched.look()
    watched.service.work()
    assert statuses() == ["failed"]
    watched.look()
    row = Watched.get()
    assert (row.file_uuid, row.transcription_uuid) == (File.get().uuid, None)
    unpaid = "talk.wav: The token balance of the account is insufficient"
    assert reported(watched, caplog) == unpaid
    watched.restart()
    watched.retry()
    assert statuses() == ["failed"]
    assert not caplog.records
    set_balance(1)
    finish(watched, caplog)
    assert balance() == 0


def test_when_a_client_that_wanted_the_same_is_gone(
    watched: WatchedFolder, caplog: pytest.LogCaptureFixture
) -> None:
    watched.add("talk.wav", TALK)
    watched.look()
    watched.look()
    abandoned.abandon(Transcription.get().uuid)
    finish(watched, caplog)
    assert statuses() == ["failed", "completed"]


def test_while_others_that_can_be_paid_go_ahead(watched: WatchedFolder) -> None:
    set_balance(10)
    watched.add("talk.wav", JFK)
    watched.settle()
    watched.add("short.wav", TALK)
    watched.settle()
    assert "short.srt" in watched.names()


def test_for_a_place_in_the_queue(watched: WatchedFolder, caplog: pytest.LogCaptureFixture) -> None:
    limits = config.LimitsSettings(unfinished_per_user=1)
    watched.service.settings = replace(watched.service.settings, limits=limits)
    watched.restart()
    api = watched.service.with_key(log_in(watched))
    (file,) = api.send(("other.wav", OTHER))
    api.post("/transcribe", {"uuid": file["uuid"], "model": "ggml-tiny.en", "language": "en"})
    watched.add("talk.wav", TALK)
    line = reported(watched, caplog)
    assert line.startswith("You have 1 unfinished transcriptions of at most 1")
    assert File.select().count() == 2
    watched.service.work()
    watched.now += 3600
    watched.settle()
    assert (watched.path / "talk.srt").exists()


def log_in(watched: WatchedFolder) -> Any:
    body = {"username": "ann", "password": "Correct-Horse-9"}
    session = watched.service.anyone.post("/user/login", body)["session_id"]
    return replace(watched.service.anyone, authorization=f"Basic {session}")


def test_for_room_on_the_disk(
    watched: WatchedFolder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.add("talk.wav", TALK)
    free = watched.service.storage.free
    with monkeypatch.context() as patch:
        watched.service.storage._reserve_bytes = free() * 2
        assert reported(watched, caplog) == "The server's disk is full"
        watched.service.storage._reserve_bytes = 0
        patch.setattr(IncomingFile, "close", no_room)
        watched.now += 3600
        assert reported(watched, caplog) == "The server's disk is full"
        assert not Watched.select().exists()
    assert not list(watched.service.storage.temporary_folder.iterdir())
    finish(watched, caplog)


def test_for_room_for_all_of_it_before_it_is_read(
    watched: WatchedFolder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.add("talk.wav", TALK)
    with monkeypatch.context() as patch:
        patch.setattr(watched.service.storage, "free", lambda: len(TALK) - 1)
        patch.setattr(reading, "_read", lambda _: 1 / 0)
        assert reported(watched, caplog) == "The server's disk is full"
    finish(watched, caplog)


def no_room(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device", "/secret")


def test_for_room_on_the_folders_own_disk(
    watched: WatchedFolder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.add("talk.wav", TALK)
    watched.look()
    watched.look()
    watched.service.work()
    with monkeypatch.context() as patch:
        patch.setattr("whisper_service.watch.writing.os.fchmod", lambda *_: None)
        patch.setattr("whisper_service.watch.writing.os.fsync", no_room)
        assert reported(watched, caplog) == "The server's disk is full"
    assert watched.names() == ["talk.wav"]
    finish(watched, caplog)


def test_for_the_quota(watched: WatchedFolder, caplog: pytest.LogCaptureFixture) -> None:
    watched.service.storage.quota_bytes = 1000
    watched.add("talk.wav", TALK)
    assert "talk.wav: The recording and what is made of it exceed" in reported(watched, caplog)
    watched.service.storage.quota_bytes = 0
    finish(watched, caplog)


@pytest.mark.parametrize("call", ["open", "read"])
def test_for_the_right_to_read(
    watched: WatchedFolder,
    call: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched.add("talk.wav", TALK)
    opened = os.open

    def refuse(path: Any, *arguments: Any, **more: Any) -> int:
        if call == "read" or path == "talk.wav":
            raise PermissionError(13, "Permission denied", "/secret/talk.wav")
        return opened(path, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(f"whisper_service.watch.reading.os.{call}", refuse)
        assert reported(watched, caplog) == "talk.wav: It cannot be read: Permission denied"
        watched.restart()
        watched.retry()
    assert not caplog.records
    finish(watched, caplog)


def test_for_the_right_to_write_before_it_is_paid(
    watched: WatchedFolder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.add("talk.wav", TALK)
    with monkeypatch.context() as patch:
        patch.setattr("whisper_service.watch.writing.os.access", lambda *_, **__: False)
        assert reported(watched, caplog) == "talk.wav: Its folder cannot be written to"
    assert not File.select().exists()
    finish(watched, caplog)


def test_and_after(
    watched: WatchedFolder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.add("talk.wav", TALK)
    watched.look()
    watched.look()
    watched.service.work()

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied", "/secret")

    with monkeypatch.context() as patch:
        patch.setattr("whisper_service.watch.writing._write_temporary", refuse)
        line = "talk.wav: Its result cannot be written: Permission denied"
        assert reported(watched, caplog) == line
    finish(watched, caplog)


def test_for_its_end_when_it_changes_while_it_is_read(
    watched: WatchedFolder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    talk = watched.add("talk.wav", TALK[:1000])
    read = os.read

    def grow(*arguments: Any) -> bytes:
        with talk.open("ab") as file:
            file.write(TALK[1000:1010])
        return read(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("whisper_service.watch.reading.os.read", grow)
        for _ in range(10):
            watched.look()
    assert not File.select().exists()
    assert not list(watched.service.storage.temporary_folder.iterdir())
    watched.add("talk.wav", TALK)
    finish(watched, caplog)


@pytest.mark.parametrize("kind", ["fifo", "link", "folder", "link to a folder"])
def test_what_takes_its_place_is_not_read(
    watched: WatchedFolder, kind: str, tmp_path: Path
) -> None:
    talk = watched.add("in/talk.wav", TALK)
    watched.look()
    outside = tmp_path / "outside"
    outside.mkdir()
    secret = outside / "talk.wav"
    secret.write_bytes(talk.read_bytes())
    os.utime(secret, (watched.now - 10, watched.now - 10))
    look = watched.watcher._stillness.update

    def swap(*arguments: Any) -> set[str]:
        still = look(*arguments)
        talk.unlink()
        if kind == "fifo":
            os.mkfifo(talk)
        elif kind == "link":
            talk.symlink_to(secret)
        elif kind == "folder":
            talk.mkdir()
        else:
            talk.parent.rmdir()
            talk.parent.symlink_to(outside)
        return still

    watched.watcher._stillness.update = swap  # type: ignore[method-assign]
    watched.look()
    assert not File.select().exists()


def test_the_end_of_the_service_is_not_held_up(watched: WatchedFolder) -> None:
    watched.add("talk.wav", TALK)
    ends = iter([True, True, False])
    watched.watcher._is_wanted = lambda: next(ends)
    reading_blocks = pytest.MonkeyPatch()
    with reading_blocks.context() as patch:
        patch.setattr(reading, "BLOCK_BYTES", 10)
        watched.look()
        with pytest.raises(Cancelled):
            watched.look()
    assert not File.select().exists()
    assert not list(watched.service.storage.temporary_folder.iterdir())


def test_a_bug_with_one_recording_holds_up_no_other(
    watched: WatchedFolder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.add("a.wav", TALK)
    watched.now += 1
    watched.add("b.wav", TALK)
    submit = Watcher._submit

    def crash(self: Watcher, order: Any, recording: Any) -> None:
        if recording.name == "a.wav":
            raise ZeroDivisionError
        submit(self, order, recording)

    monkeypatch.setattr(Watcher, "_submit", crash)
    watched.settle()
    assert watched.names() == ["a.wav", "b.srt", "b.wav"]
    (record,) = caplog.records
    assert record.exc_info
