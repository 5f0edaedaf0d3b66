"""Transcriptions whose client went away."""

from pathlib import Path

import pytest

from tests.support.engine import FakeEngine
from tests.support.ffmpeg import run_ffmpeg
from tests.support.jobs import balance, submit
from tests.support.service import Api, Service
from whisper_service import billing
from whisper_service.config import LimitsSettings
from whisper_service.errors import NotFound, TooManyRequests
from whisper_service.jobs import abandoned
from whisper_service.jobs.orders import TranscriptionRequest
from whisper_service.models import catalog
from whisper_service.tables import Checkpoint, Transcription, User
from whisper_service.whisper.options import Options

JFK = Path(__file__).parent.parent / "data" / "jfk.wav"
LIMITS = LimitsSettings()
PRICE = 44  # of `talk`


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register("ann")


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """44 seconds, in which the fake engine hears three chunks."""
    path = tmp_path / "talk.mp3"
    run_ffmpeg("-stream_loop", "3", "-i", JFK, "-b:a", "64k", path)
    return path


def abandon_in_chunk(service: Service, number: int, uuid: str) -> FakeEngine:
    """Transcribe what waits until the client goes away, while a chunk is transcribed."""
    engine = FakeEngine()
    engine.act = lambda: abandoned.abandon(uuid) if len(engine.calls) == number else None
    service.transcribe(engine)
    return engine


def resume(service: Service, options: Options | None = None) -> Transcription | None:
    row, model = Transcription.get(), catalog.find(service.settings.models.path, "ggml-tiny.en")
    request = TranscriptionRequest(model, row.language, ["srt"], options or Options())
    return abandoned.resume(User.get_by_id(row.user_id), row.file_uuid, request, LIMITS)


def test_its_work_ends_and_is_paid_as_far_as_it_came(
    service: Service, ann: Api, talk: Path
) -> None:
    (uuid,) = submit(service, ann, talk)
    engine = abandon_in_chunk(service, 2, uuid)
    assert len(engine.calls) == 2
    shown = ann.get(f"/transcribe/{uuid}")
    assert (shown["status"], shown["error"]) == ("failed", "The client closed the connection")
    assert 1000 - PRICE < balance() < 1000


def test_when_it_comes_back_it_pays_the_rest_for_the_rest(
    service: Service, ann: Api, talk: Path
) -> None:
    (uuid,) = submit(service, ann, talk)
    abandon_in_chunk(service, 3, uuid)
    row = resume(service)
    assert row is not None
    assert row.uuid == uuid
    service.transcribe(service.engine)
    assert len(service.engine.calls) == 1
    assert ann.get(f"/transcribe/{uuid}")["status"] == "completed"
    assert balance() == 1000 - PRICE
    assert not Checkpoint.select().exists()


def test_one_that_goes_away_again_and_again_pays_once(
    service: Service, ann: Api, talk: Path
) -> None:
    (uuid,) = submit(service, ann, talk)
    paid = [0]
    for _ in range(2):
        abandon_in_chunk(service, 2, uuid)
        paid.append(1000 - balance())
        assert resume(service)
    service.transcribe(service.engine)
    assert paid == sorted(paid)
    assert 0 < paid[1] < paid[2] <= PRICE
    assert balance() == 1000 - PRICE


def test_what_a_failure_gives_back_is_the_last_run(service: Service, ann: Api, talk: Path) -> None:
    (uuid,) = submit(service, ann, talk)
    abandon_in_chunk(service, 2, uuid)
    before = balance()
    resume(service)

    def fail() -> None:
        raise KeyError

    service.transcribe(FakeEngine(fail))
    assert ann.get(f"/transcribe/{uuid}")["status"] == "failed"
    assert balance() == before
    assert resume(service) is None


def test_one_that_waits_costs_nothing(service: Service, ann: Api) -> None:
    (uuid,) = submit(service, ann)
    abandoned.abandon(uuid)
    service.transcribe(service.engine)
    assert (service.engine.calls, balance()) == ([], 1000)


def test_who_shares_its_run_gets_the_result(service: Service, ann: Api, talk: Path) -> None:
    first, second = submit(service, ann, talk, format=["srt", "vtt"])
    abandon_in_chunk(service, 2, first)
    assert ann.get(f"/transcribe/{second}")["status"] == "completed"
    assert 1000 - 2 * PRICE < balance() < 1000 - PRICE


def test_what_has_ended_stays_as_it_is(service: Service, ann: Api) -> None:
    (uuid,) = submit(service, ann)
    service.work()
    abandoned.abandon(uuid)
    assert ann.get(f"/transcribe/{uuid}")["status"] == "completed"
    assert resume(service) is None
    ann.call("DELETE", f"/transcribe/{uuid}")
    abandoned.abandon(uuid)


def test_only_an_equal_request_resumes_it(service: Service, ann: Api) -> None:
    (uuid,) = submit(service, ann)
    abandoned.abandon(uuid)
    assert resume(service, Options(prompt="Kennedy")) is None
    row = Transcription.get()
    bob = service.register("bob")
    model = catalog.find(service.settings.models.path, "ggml-tiny.en")
    request = TranscriptionRequest(model, row.language, ["srt"], Options())
    stranger = User.get(User.uuid == bob.get("/user")["uuid"])
    with pytest.raises(NotFound):
        abandoned.resume(stranger, row.file_uuid, request, LIMITS)
    none = LimitsSettings(unfinished_per_file=0)
    with pytest.raises(TooManyRequests):
        abandoned.resume(User.get_by_id(row.user_id), row.file_uuid, request, none)


def test_deleting_it_deletes_what_was_kept(service: Service, ann: Api, talk: Path) -> None:
    (uuid,) = submit(service, ann, talk)
    abandon_in_chunk(service, 3, uuid)
    assert Checkpoint.select().exists()
    ann.call("DELETE", f"/transcribe/{uuid}")
    assert not Checkpoint.select().exists()
    assert billing.find_wrong_balances() == []
