"""What is found in the folder, and when it lies still."""

import os
from pathlib import Path

import pytest

from whisper_service.watch import looking
from whisper_service.watch.looking import Stamp, Stillness

NOW = 2e9


def stamp(size: int, mtime: float = NOW) -> Stamp:
    return Stamp(size, int(mtime * 1e9))


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def found(root: Path) -> set[str]:
    return set(looking.look(root).recordings)


def test_recordings_are_found_at_any_depth(tmp_path: Path) -> None:
    names = {"a.mp3", "b.MP4", "in/c.wav", "in/it/d e.webm", "in/it/f\n'\"g.ogg"}
    make(tmp_path, *names)
    look = looking.look(tmp_path)
    assert look.recordings.keys() == names
    assert look.recordings["a.mp3"] == Stamp.of((tmp_path / "a.mp3").stat())
    assert (look.entries, look.problem) == (7, "")


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    make(
        tmp_path,
        *("a.srt", "a.json", "a.txt", "a.mp3.part", "a.mp3.crdownload", "a.mp3.tmp", "a.jpg"),
        *(".a.mp3", ".hidden/a.mp3", "mp3", "noending"),
    )
    assert found(tmp_path) == set()


def test_no_link_is_followed_and_no_fifo_opened(tmp_path: Path) -> None:
    make(tmp_path, "outside/a.mp3", "in/b.mp3")
    inside = tmp_path / "in"
    (inside / "file.mp3").symlink_to(tmp_path / "outside" / "a.mp3")
    (inside / "folder").symlink_to(tmp_path / "outside")
    (inside / "circle").symlink_to(inside)
    os.mkfifo(inside / "fifo.mp3")
    (inside / "folder.mp3").mkdir()
    assert found(inside) == {"b.mp3"}


def test_a_name_that_is_not_utf_8_is_found(tmp_path: Path) -> None:
    name = b"caf\xe9.mp3"
    make(tmp_path, os.fsdecode(name))
    assert [os.fsencode(path) for path in found(tmp_path)] == [name]


@pytest.mark.parametrize("limit", [3, 4])
def test_a_look_has_a_bound(tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "MAX_ENTRIES", limit)
    make(tmp_path, *(f"{number}.mp3" for number in range(4)))
    look = looking.look(tmp_path)
    assert len(look.recordings) == limit
    assert bool(look.problem) == (limit == 3)


def test_so_has_its_depth(tmp_path: Path) -> None:
    deepest = "d/" * (looking.MAX_DEPTH - 1)
    make(tmp_path, f"{deepest}a.mp3")
    assert looking.look(tmp_path).problem == ""
    make(tmp_path, f"{deepest}d/b.mp3", "c.mp3")
    look = looking.look(tmp_path)
    assert look.recordings.keys() == {f"{deepest}a.mp3", "c.mp3"}
    assert look.problem.startswith("What is beyond 20000 files, or 16 folders in one another")


def test_a_folder_that_cannot_be_read_hides_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a.mp3", "closed/b.mp3")
    opened = os.open

    def refuse(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if path == "closed":
            raise PermissionError(13, "Permission denied", path)
        return opened(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)
    look = looking.look(tmp_path)
    assert look.recordings.keys() == {"a.mp3"}
    assert look.problem == "A folder in it cannot be read: Permission denied"
    with pytest.raises(OSError, match="No such file"):
        looking.look(tmp_path / "none")


def test_a_time_beyond_sqlites_integers_is_a_stamp(tmp_path: Path) -> None:
    status = os.stat_result(range(10), {"st_mtime_ns": 2**64})
    assert 0 <= Stamp.of(status).mtime_ns < 2**63


def test_a_new_recording_is_still_after_ten_seconds() -> None:
    stillness, recordings = Stillness(), {"a": stamp(1)}
    assert stillness.update(recordings, NOW) == set()
    assert stillness.update(recordings, NOW + 9.9) == set()
    assert stillness.update(recordings, NOW + 10) == {"a"}
    assert stillness.update(recordings, NOW + 11) == {"a"}


def test_an_old_one_is_still_at_the_second_look() -> None:
    stillness, recordings = Stillness(), {"a": stamp(1, NOW - 10)}
    assert stillness.update(recordings, NOW) == set()
    assert stillness.update(recordings, NOW + 0.1) == {"a"}


def test_one_from_the_future_is_still_in_time() -> None:
    stillness, recordings = Stillness(), {"a": stamp(1, NOW + 10**6)}
    assert stillness.update(recordings, NOW) == set()
    assert stillness.update(recordings, NOW + 10) == {"a"}


def test_a_clock_that_is_set_back_delays_nothing_for_long() -> None:
    stillness, recordings = Stillness(), {"a": stamp(1, NOW + 10**6)}
    for now, is_still in ((10**6, False), (0, False), (5, False), (10, True)):
        assert stillness.update(recordings, NOW + now) == ({"a"} if is_still else set())


def test_a_growing_one_is_not_still() -> None:
    stillness = Stillness()
    for second in range(0, 3600, 9):
        assert stillness.update({"a": stamp(second, NOW + second)}, NOW + second) == set()
    last = {"a": stamp(3591, NOW + 3591)}
    assert stillness.update(last, NOW + 3600) == set()
    assert stillness.update(last, NOW + 3601) == {"a"}


def test_one_that_grows_without_a_new_time_is_not_still_either() -> None:
    stillness = Stillness()
    for second in range(100):
        assert stillness.update({"a": stamp(second, NOW - 99)}, NOW + 11 * second) == set()
    assert stillness.update({}, NOW + 1200) == set()
    assert stillness.update({"a": stamp(99, NOW - 99)}, NOW + 1300) == set()
