"""Damaged files of all containers, straight through ffmpeg and through a running service."""

import os
import resource
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.database import rows
from tests.support.harness import FULL, Figure, assert_caught, canary, scale, seeded
from tests.support.mutations import NAMES, make_seed, mutate
from tests.support.processes import Watched, processes_of, watch, watched_ones
from tests.support.site import TOKENS, Client, Site
from tests.support.waiting import until
from whisper_service.audio import SAMPLE_RATE
from whisper_service.errors import ServiceError
from whisper_service.files import ffmpeg, media, transcoding

MAX_SECONDS = 60  # of a recording
RUN_SECONDS = 30
MEMORY_KB = transcoding.ENCODE_AUDIO_MEMORY // 1024  # none of the pictures is large
SMALLEST_COPY = 200


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    watch(monkeypatch)
    monkeypatch.setattr(media, "PROBE_SECONDS", RUN_SECONDS)
    monkeypatch.setattr(transcoding, "CONVERT_SECONDS", RUN_SECONDS)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("seeds")
    names = NAMES if FULL else seeded().sample(NAMES, 12)
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda name: make_seed(folder, name), names))


def convert(folder: Path, content: bytes) -> str:
    """Do with a file what the service does; tell how far it came."""
    folder.mkdir()
    source, speech, copy = (folder / name for name in ("original", "speech", "converted"))
    source.write_bytes(content)
    mine = Watched.ended[threading.get_ident()]
    before = len(mine)
    try:
        come = convert_file(source, speech, copy)
        assert all(process.returncode == 0 for process in mine[before:]), "a failure is no success"
    except ServiceError as error:
        come = str(error)
    except (OSError, EOFError) as error:  # of a file that is missing, or empty
        raise AssertionError("a conversion ended in disorder") from error
    assert all(process.returncode is not None for process in mine[before:])
    # What they write is the caller's to remove; all else is theirs.
    left = {path.name for path in folder.iterdir()} - {"original", "speech", "converted"}
    assert not left
    for path in folder.iterdir():
        os.unlink(path)  # noqa: PTH108 - nothing that may have been put in its place
    folder.rmdir()
    return come


def convert_file(source: Path, speech: Path, copy: Path) -> str:
    kind = media.probe(source)
    samples = transcoding.extract(source, kind, speech, MAX_SECONDS, lambda: True)
    assert transcoding.MIN_SAMPLES <= samples <= MAX_SECONDS * SAMPLE_RATE
    assert speech.stat().st_size >= 2 * samples
    transcoding.encode(source, kind, copy, MAX_SECONDS, lambda: True)
    assert copy.stat().st_size > SMALLEST_COPY
    return "converted"


def attack(folder: Path, seeds: list[bytes], number: int) -> Counter[str]:
    """Convert so many damaged files, two at once."""
    random = seeded()
    contents = [(folder / str(count), mutate(random, seeds)) for count in range(number)]
    with ThreadPoolExecutor(2) as pool:
        come = Counter(pool.map(lambda file: convert(*file), contents))
    assert "The file took too long to convert" not in come
    return come


def test_damaged_files(
    tmp_path: Path, seeds: list[bytes], figure: Figure, caplog: pytest.LogCaptureFixture
) -> None:
    number = scale(5000, 40)
    come = attack(tmp_path, seeds, number)
    runs = watched_ones()
    slowest = max(run.seconds for run in runs)
    largest = max(run.peak_kb for run in runs)
    signals = sum(run.returncode < 0 for run in runs)
    figure(
        f"malformed media, {number} files",
        "no crash unnoticed, no run over 30 s, no leftover file, memory bounded",
        f"{come['converted']} converted, {signals} signals, {len(runs)} runs, "
        f"the slowest {slowest:.1f} s, {largest // 1024} MB",
    )
    assert 0 < come["converted"] < number
    assert any(run.returncode for run in runs)
    noticed = [record for record in caplog.records if "ended by signal" in record.message]
    assert len(noticed) == signals
    assert slowest < RUN_SECONDS
    # What this process held when it started a program counts as the program's.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert largest < max(MEMORY_KB, 1.1 * own)


def take_any_code_for_success(monkeypatch: pytest.MonkeyPatch) -> None:
    run = ffmpeg.run
    monkeypatch.setattr(ffmpeg, "run", lambda *arguments: (0, run(*arguments)[1]))


def leave_what_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)


@pytest.mark.parametrize("break_it", [take_any_code_for_success, leave_what_was_written])
def test_the_attack_detects(
    tmp_path: Path,
    seeds: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    break_it: Callable[[pytest.MonkeyPatch], None],
) -> None:
    with monkeypatch.context() as broken:
        break_it(broken)
        assert_caught(lambda: attack(tmp_path, seeds, 200))


def attack_service(folder: Path, seeds: list[bytes], number: int, broken: str = "") -> Counter[str]:
    """Upload so many damaged files and order a transcription of each that is taken."""
    random = seeded(1)
    with Site(folder, broken=broken) as site:
        client = Client(site, "ann")
        for count in range(number):
            upload(client, f"file-{count}", mutate(random, seeds))
        until(lambda: not rows(site.storage, UNFINISHED), scale(900, 120))
        client.close()
        assert list((site.storage / "tmp").iterdir()) == []
        pid = site.pid
        assert processes_of(site.storage)[:1] == [pid]
        assert site.stop() == 0
        assert processes_of(site.storage) == []
        return audit(site.storage)


UNFINISHED = (
    "SELECT 1 FROM transcription WHERE status IN ('pending', 'processing') "
    "UNION SELECT 1 FROM file WHERE status = 'converting'"
)


def upload(client: Client, name: str, content: bytes) -> None:
    answer = client.ask("POST", "/file", files={"file": (name, content)})["files"][0]
    if answer["status"]["uploaded"]:
        client.order(answer["uuid"])


def audit(storage: Path) -> Counter[str]:
    """Return how the files ended; check that only what was transcribed is paid for."""
    outcomes = rows(
        storage,
        "SELECT f.status, t.status, t.samples, -total(l.amount) FROM file f "
        "JOIN transcription t ON t.file_uuid = f.uuid "
        "LEFT JOIN ledger l ON l.subject = t.uuid GROUP BY t.id",
    )
    spent = 0
    for _, status, samples, paid in outcomes:
        assert paid == (-(-samples // 16_000) if status == "completed" else 0)
        spent += paid
    assert rows(storage, "SELECT token_balance FROM user") == [(TOKENS - spent,)]
    return Counter(status for status, *_ in outcomes)


def test_damaged_uploads(tmp_path: Path, seeds: list[bytes], figure: Figure) -> None:
    number = scale(300, 10)
    come = attack_service(tmp_path, seeds, number)
    figure(
        f"malformed media, {number} uploads",
        "service up, no leftover file, no charge",
        f"{come['ready']} ready, {come['failed']} failed, the others refused",
    )
    assert 0 < come["ready"] < number


@canary
def test_the_attack_detects_refused_uploads_that_are_kept(
    tmp_path: Path, seeds: list[bytes]
) -> None:
    assert_caught(lambda: attack_service(tmp_path, seeds, 8, "refused uploads kept"))
