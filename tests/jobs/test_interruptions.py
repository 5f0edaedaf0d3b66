"""Runs that end before they are done: the engine's fault, the service's end, a deletion."""

import sqlite3
from pathlib import Path

import pytest

from tests.support.engine import FakeEngine
from tests.support.ffmpeg import run_ffmpeg
from tests.support.jobs import balance, claim, statuses, submit
from tests.support.paths import DATA
from tests.support.service import Api, Service
from whisper_service.jobs import checkpoints, outcomes, queue
from whisper_service.tables import Checkpoint, Transcription
from whisper_service.whisper.chunking import Chunk
from whisper_service.whisper.protocol import Transcribed


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register("ann")


def test_twelve_ends_of_the_service_fail_no_job_that_makes_progress(
    service: Service, ann: Api
) -> None:
    submit(service, ann)
    for number in range(12):
        job = claim()
        outcomes.save_checkpoint(job, Chunk(number, number + 1), Transcribed("en", []), 176_000)
        outcomes.requeue_interrupted()
    assert statuses() == ["pending"]
    assert balance() == 1000


def test_ten_ends_of_the_service_without_progress_fail_a_job(service: Service, ann: Api) -> None:
    submit(service, ann, format=["srt", "vtt"])
    for _ in range(10):
        assert statuses() == ["pending", "pending"]
        claim()
        assert balance() == 1000 - 22
        outcomes.requeue_interrupted()
        assert balance() == 1000
    assert Transcription.get().error == (
        "The service ended 10 times while this transcription made no progress; "
        "it is not tried again"
    )
    assert queue.claim_next() is None


def test_jobs_take_turns_after_three_ends_of_the_service_each(service: Service, ann: Api) -> None:
    for name in ("austen-0880.wav", "austen-0890.wav"):
        submit(service, ann, DATA / name)
    first, second = (row.file_uuid for row in Transcription.select().order_by(Transcription.id))
    claimed = []
    for _ in range(12):
        claimed.append(claim().key.file_uuid)
        outcomes.requeue_interrupted()
    assert claimed == [*[first] * 3, *[second] * 3] * 2


def test_an_end_in_order_counts_for_nothing(service: Service, ann: Api) -> None:
    submit(service, ann)
    for _ in range(12):
        outcomes.put_back(claim())
    assert (Transcription.get().attempts, Transcription.get().idle_starts) == (0, 0)


def test_three_crashes_of_the_engine_fail_a_job_whatever_the_service_did(
    service: Service, ann: Api
) -> None:
    submit(service, ann)
    for attempt in (1, 2, 3):
        outcomes.requeue_interrupted()
        job = claim()
        outcomes.retry(job.claim)
        assert Transcription.get().attempts == attempt
    assert statuses() == ["failed"]
    assert balance() == 1000


@pytest.mark.parametrize("fault", [OSError("no such file"), sqlite3.OperationalError("locked")])
def test_a_job_that_cannot_be_prepared_is_not_left_processing(
    service: Service, ann: Api, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    submit(service, ann)

    def fail(*_: object) -> None:
        raise fault

    monkeypatch.setattr(checkpoints, "saved", fail)
    service.transcribe(FakeEngine())
    assert statuses() == ["failed"]
    assert balance() == 1000


def test_a_deleted_job_leaves_no_text(service: Service, ann: Api, tmp_path: Path) -> None:
    talk = tmp_path / "talk.mp3"
    run_ffmpeg("-stream_loop", "2", "-i", DATA / "jfk.wav", "-b:a", "64k", talk)
    first, second = submit(service, ann, talk, format=["srt", "vtt"])
    while not Checkpoint.select().exists():
        service.worker.transcribe_once(FakeEngine())
    service.worker.stop()
    assert statuses() == ["pending", "pending"]
    ann.call("DELETE", f"/transcribe/{first}")
    assert Checkpoint.select().exists()
    ann.call("DELETE", f"/transcribe/{second}")
    assert not Checkpoint.select().exists()


def test_a_late_chunk_of_a_deleted_job_is_not_kept(service: Service, ann: Api) -> None:
    (uuid,) = submit(service, ann)
    job = claim()
    ann.call("DELETE", f"/transcribe/{uuid}")
    outcomes.save_checkpoint(job, Chunk(0, 9), Transcribed("en", []), 9)
    assert not Checkpoint.select().exists()


def test_no_chunk_of_a_deleted_job_is_begun(service: Service, ann: Api, tmp_path: Path) -> None:
    """An engine that takes less than half a second for a chunk never looks meanwhile."""
    talk = tmp_path / "talk.mp3"
    run_ffmpeg("-stream_loop", "5", "-i", DATA / "jfk.wav", "-b:a", "64k", talk)
    (uuid,) = submit(service, ann, talk)
    engine = FakeEngine(lambda: ann.call("DELETE", f"/transcribe/{uuid}"))
    service.transcribe(engine)
    assert len(engine.calls) == 1
    assert service.worker.runner.scheduler.audio_left() == 0
