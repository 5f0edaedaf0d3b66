"""Whose file is converted next."""

import threading
from pathlib import Path

import pytest

from tests.support.ffmpeg import quiet_flac, run_ffmpeg
from tests.support.interleaving import after
from tests.support.paths import DATA
from tests.support.service import Api, Service
from whisper_service.files import media
from whisper_service.files.turns import Turns, next_file
from whisper_service.tables import File

LONG, SHORT, OTHER = DATA / "jfk.wav", DATA / "austen-0880.wav", DATA / "austen-0890.wav"


def waiting(*rows: tuple[int, int], first: int = 1) -> list[File]:
    """Make files of (user, seconds)."""
    return [
        File(id=number, uuid=f"{number:032}", user_id=user, claimed_seconds=seconds)
        for number, (user, seconds) in enumerate(rows, first)
    ]


def seconds(file: File) -> float:
    return file.claimed_seconds or 0


def test_whoever_was_served_the_least_comes_first() -> None:
    files = waiting((1, 5), (1, 3), (1, 3), (2, 900))
    assert next_file(files, seconds, {1: 2.0, 2: 1.0}, {}) is files[3]
    assert next_file(files, seconds, {1: 1.0, 2: 2.0}, {}) is files[1]
    assert next_file(files, seconds, {1: 1.0, 2: 2.0}, {1: 1}) is files[3]
    assert next_file([], seconds, {}, {}) is None


def test_a_file_is_held_once_and_a_newcomer_does_not_wait_for_all() -> None:
    turns, files = Turns(), waiting((1, 1), (1, 2), (1, 3))
    with turns.take(lambda: files, seconds) as first, turns.take(lambda: files, seconds) as second:
        assert (first, second) == (files[0], files[1])
        files += waiting((2, 50), first=4)
        with turns.take(lambda: files, seconds) as third:
            assert third is files[3]
    with turns.take(list, seconds) as nothing:
        assert nothing is None


def test_a_file_is_released_after_a_failure() -> None:
    turns, files = Turns(), waiting((1, 1))
    with pytest.raises(ZeroDivisionError), turns.take(lambda: files, seconds):
        _ = 1 / 0
    with turns.take(lambda: files, seconds) as again:
        assert again is files[0]


def uploaded(api: Api, *paths: Path) -> list[str]:
    return [answer["uuid"] for answer in api.upload(*paths)]


def is_extracted(uuid: str) -> bool:
    return File.get(File.uuid == uuid).samples is not None


def test_users_take_turns_with_their_uploads(service: Service) -> None:
    ann, bob = service.register("ann"), service.register("bob")
    of_ann = uploaded(ann, SHORT, OTHER, DATA / "austen-0930.wav")
    (of_bob,) = uploaded(bob, LONG)
    for step in (service.worker.extract_once, service.worker.encode_once):
        assert step()
        assert step()
        row = File.get(File.uuid == of_bob)
        assert row.samples if step == service.worker.extract_once else row.status == "ready"
        while step():
            pass
    assert {File.get(File.uuid == uuid).status for uuid in of_ann} == {"ready"}


def test_a_user_has_the_short_first(service: Service) -> None:
    ann = service.register("ann")
    stream = service.storage.root / "stream.webm"
    run_ffmpeg("-i", SHORT, "-c:a", "libopus", "-live", "1", stream)
    unknown, long, short = uploaded(ann, stream, LONG, SHORT)
    assert [row.claimed_seconds for row in File.select().order_by(File.id)] == [None, 11, 3]
    order = []
    while service.worker.extract_once():
        order.append([uuid for uuid in (unknown, long, short) if is_extracted(uuid)])
    assert order == [[short], [long, short], [unknown, long, short]]


def test_a_short_clip_does_not_wait_behind_a_long_one(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = service.register("ann")
    (long,) = uploaded(ann, quiet_flac(tmp_path / "quiet.flac", 1200))
    assert not service.worker.extract_short_once()
    clips: list[str] = []

    def upload_meanwhile() -> None:
        clips.extend(uploaded(ann, SHORT))
        thread = threading.Thread(target=service.worker.extract_short_once)
        thread.start()
        thread.join()
        assert is_extracted(clips[0])

    after(monkeypatch, media, "probe", upload_meanwhile)
    assert service.worker.extract_once()
    assert is_extracted(long)
    assert clips


def test_no_file_is_extracted_twice_at_once(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    (uuid,) = uploaded(service.register("ann"), SHORT)
    found = []
    after(monkeypatch, media, "probe", lambda: found.append(service.worker.extract_short_once()))
    assert service.worker.extract_once()
    assert is_extracted(uuid)
    assert found == [False]


def test_what_is_much_longer_than_it_claims_fails_in_either_thread(
    service: Service, tmp_path: Path
) -> None:
    for claimed in (5, 600):
        source = quiet_flac(tmp_path / f"{claimed}.flac", 3600, claimed_seconds=claimed)
        uploaded(service.register(f"user{claimed}"), source)
    while service.worker.extract_short_once():
        pass
    errors = {row.error for row in File.select()}
    assert errors == {"The recording is much longer than its file claims"}


def test_what_only_claims_to_be_short_waits_with_the_long(service: Service, tmp_path: Path) -> None:
    """Its first seconds need the bits that the rest of it lacks."""
    source = tmp_path / "later.aac"
    quiet_later = (
        "-f lavfi -i anoisesrc=d=2:r=8000:a=0.5 -f lavfi -i anullsrc=r=8000:cl=mono:d=1600"
    )
    run_ffmpeg(*f"{quiet_later} -filter_complex [0][1]concat=v=0:a=1 -b:a 96k".split(), source)
    (uuid,) = uploaded(service.register("ann"), source)
    assert File.get().claimed_seconds < 600
    assert service.worker.extract_short_once()
    assert (File.get().status, File.get().claimed_seconds) == ("converting", None)
    assert not service.worker.extract_short_once()
    assert service.worker.extract_once()
    assert is_extracted(uuid)
