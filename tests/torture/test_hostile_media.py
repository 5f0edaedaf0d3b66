"""Files that want ffmpeg to open others, to call somebody, or to fill the disk."""

import ctypes
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.harness import FULL, Figure, assert_caught, scale, seeded
from tests.support.traps import SECRET, write_bombs, write_secret, write_slow, write_traps
from whisper_service.audio import SAMPLE_RATE
from whisper_service.errors import ServiceError
from whisper_service.files import ffmpeg, media, transcoding

IN_OPEN = 0x20  # linux/inotify.h
MAX_SECONDS = 60
CAP = 4 * (MAX_SECONDS + 2) * SAMPLE_RATE
REFUSED_SECONDS = 2 if FULL else 20
BOMB_SECONDS = 15 if FULL else 60


class Openings:
    """Detects whether any process has opened one of the files."""

    def __init__(self, paths: list[Path]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._watch = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        for path in paths:
            assert libc.inotify_add_watch(self._watch, os.fsencode(path), IN_OPEN) > 0

    def happened(self) -> bool:
        try:
            return bool(os.read(self._watch, 4096))
        except BlockingIOError:
            return False

    def close(self) -> None:
        os.close(self._watch)


class Ear:
    """A web server that nobody should ever call."""

    def __init__(self) -> None:
        self.calls = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                if not connection.recv(1):
                    return  # our own, which says nothing
                self.calls += 1

    def close(self) -> None:
        socket.create_connection(self._socket.getsockname()).close()
        self._thread.join()
        self._socket.close()


@contextmanager
def guarded(folder: Path) -> Iterator[tuple[Openings, Ear]]:
    folder.mkdir()
    write_secret(folder)
    ear, openings = Ear(), Openings(sorted(folder.glob(f"{SECRET}*")))
    try:
        yield openings, ear
    finally:
        openings.close()
        ear.close()


def convert(source: Path) -> tuple[str, float]:
    """Do with a file what the service does; return how it ended, and after how many seconds."""
    speech, copy = source.with_suffix(".speech"), source.with_suffix(".copy")
    begun = time.monotonic()
    try:
        kind = media.probe(source)
        transcoding.extract(source, kind, speech, MAX_SECONDS, lambda: True)
        transcoding.encode(source, kind, copy, MAX_SECONDS, lambda: True)
        ended = "converted"
    except ServiceError as error:
        ended = str(error)
    for written in (speech, copy):
        if written.exists():
            assert written.stat().st_size <= CAP
            written.unlink()
    return ended, time.monotonic() - begun


def attack(folder: Path, number: int) -> tuple[int, float]:
    """Convert so many of the traps; return how many there are in all, and the longest time."""
    with guarded(folder) as (openings, ear):
        traps = write_traps(folder, ear.url)
        chosen = seeded().sample(traps, min(number, len(traps)))
        with ThreadPoolExecutor(2) as pool:
            results = dict(zip(chosen, pool.map(convert, chosen), strict=True))
        assert not openings.happened(), "another file was opened"
        assert ear.calls == 0, "somebody was called"
    taken = {path.name: how for path, (how, _) in results.items() if how not in REFUSALS}
    assert not taken
    return len(traps), max(seconds for _, seconds in results.values())


REFUSALS = {"Unsupported content type", "The file has no audio stream"}


def test_playlists_and_lists(tmp_path: Path, figure: Figure) -> None:
    count, slowest = attack(tmp_path / "traps", scale(1000, 60))
    figure(
        f"hostile playlists and lists, {scale(count, 60)} files",
        "no byte of another file, no connection, refused within 2 s",
        f"0 opened, 0 connections, all refused, the slowest after {slowest:.1f} s",
    )
    assert slowest < REFUSED_SECONDS


def test_bombs(tmp_path: Path, figure: Figure) -> None:
    bombs = write_bombs(tmp_path)
    assert max(bomb.stat().st_size for bomb in bombs) < 8 * 1024**2
    with ThreadPoolExecutor(2) as pool:
        results = dict(zip(bombs, pool.map(convert, bombs), strict=True))
    slowest = max(seconds for _, seconds in results.values())
    figure(
        f"bombs, {len(bombs)} files",
        f"output under the cap of {CAP / 1e6:.0f} MB, within 15 s",
        f"under the cap, the slowest {slowest:.1f} s",
    )
    assert slowest < BOMB_SECONDS
    too_long = f"The recording is longer than {MAX_SECONDS} seconds"
    ended = {path.name: how for path, (how, _) in results.items()}
    assert [ended[name] for name in ("quiet.flac", "slow.wav", "hours.opus")] == [too_long] * 3


def run_unguarded(path: Path, arguments: list[str], *_: Any) -> tuple[int, str]:
    """Run ffmpeg as most programs do: the input by its name, and every protocol allowed."""
    guard = arguments.index("-protocol_whitelist")
    end = arguments.index("-i")
    allowed = ["-protocol_whitelist", "file,http,tcp,data,crypto,concat,subfile", "-i", str(path)]
    command = [*arguments[:guard], *allowed, *arguments[end + 2 :]]
    ended = ffmpeg.subprocess.run(
        [ffmpeg.FFMPEG, *ffmpeg.QUIET, *command],
        stdin=ffmpeg.subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, ended.stderr.decode(errors="replace")


def test_the_attack_detects_an_unguarded_ffmpeg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffmpeg, "run", run_unguarded)
    assert_caught(lambda: attack(tmp_path / "traps", 40))


@pytest.mark.parametrize(
    ("kind", "sign"), [("concat-relative.mp4", "opened"), ("hls-http.m3u8", "called")]
)
def test_the_signs_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, sign: str
) -> None:
    monkeypatch.setattr(ffmpeg, "run", run_unguarded)
    with guarded(tmp_path / "traps") as (openings, ear):
        write_traps(tmp_path / "traps", ear.url)
        assert not openings.happened()
        convert(tmp_path / "traps" / kind)
        assert (openings.happened(), ear.calls > 0) == (sign == "opened", sign == "called")


def test_the_attack_detects_output_without_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcoding, "_length_limit", lambda _: ["-t", "600", "-y"])
    monkeypatch.setattr(transcoding, "_limits", lambda *_: transcoding.Limits())
    monkeypatch.setattr(media.ClaimedLength, "is_far_beyond", lambda *_: False)
    slow = write_slow(tmp_path)
    assert_caught(lambda: convert(slow))
