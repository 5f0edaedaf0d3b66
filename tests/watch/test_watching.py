"""From a recording in the folder to its result: once, for what is paid, and nothing overwritten."""

import json
import logging
import os

import pytest

from tests.support.harness import seeded
from tests.support.jobs import balance
from tests.support.recordings import as_wav, sound
from tests.support.watching import TALK, WatchedFolder
from whisper_service.tables import File, Transcription, User, Watched
from whisper_service.watch import reading

HELLO = "1\n00:00:00,000 --> 00:00:00,500\nHello\n\n2\n00:00:00,500 --> 00:00:01,000\nworld.\n"
WORLD = HELLO.replace("500", "250").replace("01,000", "00,500")
SHORT = as_wav(sound(seeded(), 0.5))


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "whisper_service.watch")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Take what was logged of the folder since the last time."""
    found = [each.getMessage() for each in caplog.records if ".watch." in each.name]
    caplog.clear()
    return found


def test_a_recording_becomes_subtitles(
    watched: WatchedFolder, caplog: pytest.LogCaptureFixture
) -> None:
    talk = watched.add("talk.mp3", TALK)
    talk.chmod(0o644)
    before = talk.stat()
    assert watched.look(0) is True
    assert watched.look(9) is True
    assert not File.select().exists()
    assert watched.look(1) is True
    assert Transcription.get().format == "srt"
    watched.service.work()
    assert watched.names() == ["talk.mp3"]
    assert watched.look(2) is True
    assert watched.look(2) is False
    assert watched.names() == ["talk.mp3", "talk.srt"]
    assert (watched.path / "talk.srt").read_text() == HELLO
    assert (watched.path / "talk.srt").stat().st_mode & 0o777 == 0o644
    assert (talk.read_bytes(), talk.stat().st_mtime_ns) == (TALK, before.st_mtime_ns)
    assert balance() == 1000 - 1
    assert File.get().filename == "talk.mp3"
    assert lines(caplog) == ["Watched folder: talk.mp3 was transcribed"]


def test_all_formats_are_of_one_transcription(watched: WatchedFolder) -> None:
    formats = ("txt", "verbose_json", "srt", "vtt", "tsv", "lrc")
    watched.restart(formats=formats)
    watched.add("a/b c/talk.m4a", TALK)
    watched.settle()
    folder = watched.path / "a" / "b c"
    endings = ("json", "lrc", "m4a", "srt", "tsv", "txt", "vtt")
    assert sorted(path.name for path in folder.iterdir()) == [f"talk.{end}" for end in endings]
    assert (folder / "talk.srt").read_text() == HELLO
    assert json.loads((folder / "talk.json").read_text())["text"] == "Hello world."
    assert Transcription.select().count() == 1
    assert balance() == 1000 - 1


def test_nothing_is_done_twice_after_a_restart(
    watched: WatchedFolder, caplog: pytest.LogCaptureFixture
) -> None:
    watched.add("talk.mp3", TALK)
    watched.settle()
    (watched.path / "talk.srt").unlink()
    lines(caplog)
    watched.restart()
    watched.settle()
    assert watched.names() == ["talk.mp3"]
    assert Transcription.select().count() == 1
    assert lines(caplog) == []


NAMES = [
    b"a talk",
    b'it\'s "quoted" $(id) `id` ; & | * ? %s {0}',
    b"-rf",
    b"two\nlines level=error",
    b"caf\xe9",
    "日本語".encode(),
    b"9" * 250,
]


def test_any_name_is_fine(watched: WatchedFolder, caplog: pytest.LogCaptureFixture) -> None:
    for name in NAMES:
        watched.add(os.fsdecode(name + b".mp3"), TALK)
    watched.settle()
    for name in NAMES:
        assert (watched.path / os.fsdecode(name + b".srt")).read_text() == HELLO
    logged = lines(caplog)
    assert len(logged) == len(NAMES)
    for line in logged:
        assert line.startswith("Watched folder: ")
        assert line.isprintable()
        assert len(line) < 80
    assert Transcription.select().count() == 1


def test_a_hostile_file_is_reported_once(
    watched: WatchedFolder, caplog: pytest.LogCaptureFixture
) -> None:
    watched.add("secret/notes of the meeting that nobody should ever read.mp3", b"These are notes.")
    watched.add("empty.wav", b"")
    watched.settle()
    assert sorted(lines(caplog)) == [
        "Watched folder: empty.wav: The file is empty",
        "Watched folder: notes of the meeting that nobody should : Unsupported content type",
    ]
    for _ in range(2):
        watched.retry()
        watched.restart()
    assert lines(caplog) == []
    assert len(watched.names()) == 2
    assert not File.select().exists()
    assert not list(watched.service.storage.temporary_folder.iterdir())
    watched.add("empty.wav", TALK)
    watched.settle()
    assert "empty.srt" in watched.names()


def test_one_that_is_too_large_is_not_read(
    watched: WatchedFolder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.truncate(watched.add("large.wav", b""), 2**40)
    monkeypatch.setattr(reading, "_read", lambda _: 1 / 0)
    watched.settle()
    assert lines(caplog) == ["Watched folder: large.wav: The file is larger than 1048576 bytes"]


def test_one_that_fails_later_is_reported_once(
    watched: WatchedFolder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.add("talk.wav", TALK)
    monkeypatch.setattr(watched.service.engine, "act", lambda: 1 / 0)
    watched.look()
    watched.look()
    watched.service.convert_once()
    Transcription.update(status="failed", error="The engine crashed").execute()
    for _ in range(2):
        watched.settle()
        watched.restart()
    assert lines(caplog) == ["Watched folder: talk.wav: The engine crashed"]
    assert Transcription.select().count() == 1


def test_what_is_not_the_services_own_is_not_overwritten(
    watched: WatchedFolder, caplog: pytest.LogCaptureFixture
) -> None:
    watched.add("talk.mp3", TALK)
    (watched.path / "talk.srt").write_text("my own")
    watched.add("link.mp3", SHORT)
    (watched.path / "link.srt").symlink_to("nowhere")
    watched.add("folder.mp3", SHORT)
    (watched.path / "folder.srt").mkdir()
    for _ in range(2):
        watched.settle()
        watched.retry()
        watched.restart()
    assert sorted(lines(caplog)) == [
        f"Watched folder: {name}.mp3: A file of its name with .srt exists and is not overwritten"
        for name in ("folder", "link", "talk")
    ]
    assert (watched.path / "talk.srt").read_text() == "my own"
    assert not (watched.path / "nowhere").exists()
    assert not File.select().exists()
    (watched.path / "talk.srt").unlink()
    watched.retry()
    assert (watched.path / "talk.srt").read_text() == HELLO


def test_one_that_comes_while_it_is_transcribed_is_not_overwritten_either(
    watched: WatchedFolder, caplog: pytest.LogCaptureFixture
) -> None:
    watched.add("talk.mp3", TALK)
    watched.look()
    watched.look()
    (watched.path / "talk.srt").write_text("my own")
    watched.settle()
    watched.retry()
    assert (watched.path / "talk.srt").read_text() == "my own"
    assert len(lines(caplog)) == 1
    assert watched.names() == ["talk.mp3", "talk.srt"]


def test_a_changed_recording_is_transcribed_again(watched: WatchedFolder) -> None:
    watched.add("talk.wav", TALK)
    watched.settle()
    watched.add("talk.wav", SHORT)
    watched.settle()
    assert Transcription.select().count() == 2
    assert (watched.path / "talk.srt").read_text() == WORLD
    assert len(Watched.get().results.split()) == 1


def test_but_a_result_that_was_edited_stays(
    watched: WatchedFolder, caplog: pytest.LogCaptureFixture
) -> None:
    watched.add("talk.wav", TALK)
    watched.settle()
    (watched.path / "talk.srt").write_text(HELLO.replace("Hello", "Hallo"))
    lines(caplog)
    watched.add("talk.wav", SHORT)
    watched.settle()
    assert "Hallo" in (watched.path / "talk.srt").read_text()
    assert Transcription.select().count() == 1
    assert len(lines(caplog)) == 1


def test_the_same_bytes_cost_nothing_again(watched: WatchedFolder) -> None:
    watched.add("talk.wav", TALK)
    watched.add("copy/talk.wav", TALK)
    watched.settle()
    watched.now += 100
    watched.add("talk.wav", TALK)
    watched.add("late.wav", TALK)
    watched.settle()
    results = ("copy/talk.srt", "late.srt", "talk.srt")
    assert [(watched.path / name).read_text() for name in results] == [HELLO] * 3
    assert Transcription.select().count() == 1
    assert balance() == 1000 - 1


def test_one_that_was_moved_gets_its_result_where_it_is(watched: WatchedFolder) -> None:
    talk = watched.add("in/talk.wav", TALK)
    watched.look()
    watched.look()
    (watched.path / "done").mkdir()
    talk.rename(watched.path / "done" / "talk.wav")
    watched.settle()
    assert watched.names() == ["done/talk.srt", "done/talk.wav"]
    assert Transcription.select().count() == 1
    assert [row.path for row in Watched.select()] == [b"done/talk.wav"]


def test_of_two_with_one_name_the_first_gets_the_result(
    watched: WatchedFolder, caplog: pytest.LogCaptureFixture
) -> None:
    watched.add("talk.wav", TALK)
    watched.now += 1
    watched.add("talk.mp3", SHORT)
    watched.settle()
    watched.retry()
    assert (watched.path / "talk.srt").read_text() == HELLO
    assert Transcription.select().count() == 1
    done, refused = lines(caplog)
    assert done == "Watched folder: talk.wav was transcribed"
    assert refused.startswith("Watched folder: talk.mp3: A file of its name with .srt exists")


@pytest.mark.parametrize("deleted", ["transcription", "file"])
def test_what_its_user_deletes_is_not_made_again(watched: WatchedFolder, deleted: str) -> None:
    watched.add("talk.wav", TALK)
    watched.look()
    watched.look()
    (Transcription if deleted == "transcription" else File).delete().execute()
    if deleted == "file":
        Transcription.update(status="failed", error="File deleted").execute()
    count = Transcription.select().count()
    for _ in range(2):
        watched.retry()
        watched.restart()
    assert watched.names() == ["talk.wav"]
    assert Transcription.select().count() == count


def test_the_user_may_go(watched: WatchedFolder, caplog: pytest.LogCaptureFixture) -> None:
    watched.add("talk.wav", TALK)
    watched.look()
    User.delete().execute()
    for _ in range(20):
        watched.look()
    assert lines(caplog) == ["Watched folder: There is no account of the name in watch.user"]
    watched.service.register("ann")
    watched.retry()
    assert watched.names() == ["talk.srt", "talk.wav"]


def test_rows_of_what_is_gone_are_removed(watched: WatchedFolder) -> None:
    for number in range(3):
        watched.add(f"{number}.mp3", b"%d" % number)
    watched.settle()
    assert Watched.select().count() == 3
    (watched.path / "0.mp3").unlink()
    watched.look()
    assert Watched.select().count() == 2


def test_a_disk_that_is_not_mounted_is_not_forgotten(
    watched: WatchedFolder, caplog: pytest.LogCaptureFixture
) -> None:
    watched.add("talk.wav", TALK)
    watched.settle()
    lines(caplog)
    elsewhere = watched.path.rename(watched.path.with_name("elsewhere"))
    for _ in range(5):
        assert watched.look() is False
    watched.path.mkdir()
    watched.look()
    assert Watched.select().count() == 1
    watched.path.rmdir()
    elsewhere.rename(watched.path)
    watched.settle()
    assert Transcription.select().count() == 1
    assert lines(caplog) == ["Watched folder: It cannot be read: No such file or directory"]


def test_some_at_a_time(watched: WatchedFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whisper_service.watch.watcher.MAX_QUEUED", 2)
    for number in range(3):
        watched.add(f"{number}.wav", as_wav(sound(seeded(number), 0.5)))
    watched.look()
    for count in (2, 2, 3):
        watched.look()
        assert Transcription.select().count() == count
        watched.service.work()
    watched.settle()
    assert len(watched.names()) == 6
