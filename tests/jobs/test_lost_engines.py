"""Jobs whose engine's machine is lost in the middle."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import FakeEngine
from tests.support.ffmpeg import run_ffmpeg
from tests.support.jobs import balance, statuses, submit
from tests.support.paths import DATA
from tests.support.service import Service
from whisper_service.jobs.runner import MAX_LOSSES
from whisper_service.tables import Checkpoint, Transcription
from whisper_service.whisper.engine import EngineLost

CHUNKS = 3


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """A recording of three chunks, 44 seconds long."""
    path = tmp_path / "talk.mp3"
    run_ffmpeg("-stream_loop", "3", "-i", DATA / "jfk.wav", "-b:a", "64k", path)
    return path


def losing(*losses: bool) -> FakeEngine:
    """Return an engine that is lost with some of its first chunks."""
    left: Iterator[bool] = iter(losses)

    def act() -> None:
        if next(left, False):
            raise EngineLost("A machine left the cluster")

    return FakeEngine(act)


def again(service: Service) -> float:
    text = service.client.get("/metrics").text
    (line,) = (line for line in text.splitlines() if line.startswith("whisper_tasks_again_total "))
    return float(line.split()[1])


@pytest.mark.parametrize(
    "losses", [[True], [False, True], [True, False, True, True], 2 * [False] + 4 * [True]]
)
def test_its_task_is_done_again(service: Service, talk: Path, losses: list[bool]) -> None:
    before = again(service)
    ann = service.register()
    (uuid,) = submit(service, ann, talk)
    engine = losing(*losses)
    service.transcribe(engine)
    answer = ann.get(f"/transcribe/{uuid}")
    assert answer["status"] == "completed"
    assert answer["data"]["text"] == " ".join(CHUNKS * ["Hello world."])
    assert len(engine.calls) == CHUNKS + sum(losses)
    assert again(service) == before + sum(losses)
    assert Transcription.get().attempts == 0
    assert Checkpoint.select().count() == 0
    assert balance() == 1000 - 44


def test_what_was_answered_is_saved(service: Service, talk: Path) -> None:
    ann = service.register()
    submit(service, ann, talk)
    engine = losing(*[False, True])
    while len(engine.calls) < 2:
        service.worker.transcribe_once(engine)
    assert Checkpoint.select().count() == 1
    assert statuses() == ["processing"]


def test_a_lost_search_for_speech_is_done_again(service: Service) -> None:
    ann = service.register()
    (uuid,) = submit(service, ann)
    engine, losses = FakeEngine(), iter([True])

    def act() -> None:
        if next(losses, False):
            raise EngineLost("A machine left the cluster")

    engine.act_on_search = act
    service.transcribe(engine)
    assert engine.searches == 2
    assert ann.get(f"/transcribe/{uuid}")["data"]["text"] == "Hello world."


def test_a_task_that_loses_every_engine_counts_as_a_crash(service: Service) -> None:
    ann = service.register()
    submit(service, ann)
    engine = losing(*(10 * MAX_LOSSES * [True]))
    while not Transcription.get().attempts:
        service.worker.transcribe_once(engine)
    assert len(engine.calls) == MAX_LOSSES == 5
    assert statuses() == ["pending"]
    assert balance() == 1000
    service.transcribe(engine)
    assert len(engine.calls) == 3 * MAX_LOSSES
    row = Transcription.get()
    assert (row.status, row.attempts) == ("failed", 3)
    assert row.error == "The transcription was interrupted 3 times and is not tried again"
    assert balance() == 1000


def test_a_job_that_was_deleted_meanwhile_is_not_done_again(service: Service) -> None:
    ann = service.register()
    (uuid,) = submit(service, ann)
    engine = FakeEngine()

    def act() -> None:
        ann.call("DELETE", f"/transcribe/{uuid}")
        raise EngineLost("A machine left the cluster")

    engine.act = act
    service.transcribe(engine)
    assert len(engine.calls) == 1
    assert service.worker.runner.scheduler.is_idle()
