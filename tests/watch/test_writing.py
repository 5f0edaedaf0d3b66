"""Results are written whole or not at all, and over nothing that is not the service's own."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.service import Service
from whisper_service.errors import Conflict
from whisper_service.tables import Watched
from whisper_service.watch import writing
from whisper_service.watch.looking import Stamp
from whisper_service.watch.records import Changed, Recording

RESULTS = {".srt": b"one\n", ".txt": b"two\n"}


@pytest.fixture
def recording(tmp_path: Path, service: Service) -> Recording:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "talk.mp3"
    path.write_bytes(b"x")
    return Recording("in/talk.mp3", Stamp.of(path.stat()))


def written(root: Path) -> dict[str, bytes]:
    files = (path for path in (root / "in").iterdir() if path.name != "talk.mp3")
    return {path.name: path.read_bytes() for path in files}


def write(recording: Recording, root: Path, results: dict[str, bytes] = RESULTS) -> None:
    writing.write(writing.remember(recording, results), results, root)


BOTH = {"talk.srt": b"one\n", "talk.txt": b"two\n"}


def test_they_are_written_and_the_folder_is_synced(
    tmp_path: Path, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def sync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        assert "talk.srt" not in synced
        fsync(descriptor)

    monkeypatch.setattr("whisper_service.watch.writing.os.fsync", sync)
    write(recording, tmp_path)
    assert written(tmp_path) == BOTH
    assert [name.startswith(".") for name in synced] == [True, True, False]
    assert synced[-1] == "in"
    row = Watched.get()
    assert (row.is_done, len(row.results.split())) == (1, 2)


def test_a_file_system_without_links_is_fine(
    tmp_path: Path, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("whisper_service.watch.writing.os.link", refuse)
    monkeypatch.setattr("whisper_service.watch.writing.os.fchmod", refuse)
    write(recording, tmp_path)
    assert written(tmp_path) == BOTH


def test_what_comes_at_the_last_moment_stays(
    tmp_path: Path, recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = writing._write_temporary

    def come(*arguments: Any) -> None:
        place(*arguments)
        (tmp_path / "in" / "talk.srt").write_bytes(b"mine")

    monkeypatch.setattr(writing, "_write_temporary", come)
    with pytest.raises(Conflict):
        write(recording, tmp_path)
    assert written(tmp_path) == {"talk.srt": b"mine"}


def test_what_a_killed_process_left_is_replaced(tmp_path: Path, recording: Recording) -> None:
    remembered = writing.remember(recording, RESULTS)
    for ending in RESULTS:
        name = writing._temporary_name(recording, ending)
        (tmp_path / "in" / name).write_bytes(b"o")
    (tmp_path / "in" / "talk.txt").write_bytes(b"two\n")
    writing.write(remembered, RESULTS, tmp_path)
    assert written(tmp_path) == BOTH


def test_an_earlier_result_is_replaced_and_only_that(tmp_path: Path, recording: Recording) -> None:
    write(recording, tmp_path)
    hashes = tuple(Watched.get().results.split())
    changed = Recording(recording.path, recording.stamp, results=hashes)
    write(changed, tmp_path, {".srt": b"new\n"})
    assert written(tmp_path) == {"talk.srt": b"new\n", "talk.txt": b"two\n"}
    large = tmp_path / "in" / "talk.srt"
    os.truncate(large, writing.MAX_RESULT_BYTES + 1)
    with pytest.raises(Conflict):
        write(changed, tmp_path, {".srt": b"newer\n"})


def test_what_was_written_before_a_kill_is_known_though_it_was_corrected_since(
    tmp_path: Path, recording: Recording
) -> None:
    writing.remember(recording, RESULTS)
    (tmp_path / "in" / "talk.srt").write_bytes(RESULTS[".srt"])
    hashes = tuple(Watched.get().results.split())
    restarted = Recording(recording.path, recording.stamp, results=hashes)
    write(restarted, tmp_path, {".srt": b"corrected\n"})
    assert written(tmp_path) == {"talk.srt": b"corrected\n"}


def test_a_link_is_not_written_through(tmp_path: Path, recording: Recording) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"one\n")
    (tmp_path / "in" / "talk.srt").symlink_to(target)
    with pytest.raises(Conflict):
        write(recording, tmp_path)
    assert target.read_bytes() == b"one\n"


def test_nothing_is_written_beside_what_is_gone(tmp_path: Path, recording: Recording) -> None:
    (tmp_path / "in" / "talk.mp3").unlink()
    with pytest.raises(Changed):
        write(recording, tmp_path)
    assert written(tmp_path) == {}
