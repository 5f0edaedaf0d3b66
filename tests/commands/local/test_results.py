"""Results get their names when they are whole."""

import errno
import os
from pathlib import Path

import pytest

from whisper_service.commands.local import results
from whisper_service.errors import CommandError


def test_a_result_is_safe_on_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, synced = tmp_path / "talk.srt", []

    def fsync(descriptor: int) -> None:
        synced.append((Path(f"/dev/fd/{descriptor}").resolve().name, target.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    results.write(b"whole", target, force=False)
    assert synced[0][0].endswith(".part")
    assert [exists for _, exists in synced] == [False, True]
    assert target.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("code", [None, errno.EPERM, errno.EOPNOTSUPP])
def test_nothing_is_replaced_with_or_without_hard_links(
    code: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(_new: Path, _old: Path) -> None:
        assert code
        raise OSError(code, os.strerror(code))

    if code:
        monkeypatch.setattr(Path, "hardlink_to", no_links)
    target = tmp_path / "talk.srt"
    results.write(b"first", target, force=False)
    with pytest.raises(CommandError, match=r"^talk\.srt exists already"):
        results.write(b"second", target, force=False)
    assert target.read_bytes() == b"first"
    results.write(b"third", target, force=True)
    assert target.read_bytes() == b"third"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("force", [False, True])
def test_what_cannot_be_written_leaves_nothing(
    *, force: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CommandError, match=r"^talk\.srt cannot be written: No space left"):
        results.write(b"first", tmp_path / "talk.srt", force=force)
    assert list(tmp_path.iterdir()) == []


def test_a_dangling_link_is_something(tmp_path: Path) -> None:
    (tmp_path / "talk.mp3").write_bytes(b"sound")
    (tmp_path / "talk.srt").symlink_to(tmp_path / "none")
    with pytest.raises(CommandError, match=r"^talk\.srt exists already"):
        results.write(b"first", tmp_path / "talk.srt", force=False)
    recordings = [tmp_path / "talk.mp3"]
    with pytest.raises(CommandError, match=r"^talk\.srt exists already"):
        results.ResultFiles(recordings, ["srt"], force=False).assign(*recordings)
