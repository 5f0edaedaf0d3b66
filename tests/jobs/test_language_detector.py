"""The language of a recording: who waits for it, and what an engine gets of it."""

from pathlib import Path

import pytest

from tests.support.engine import FakeEngine
from tests.support.ffmpeg import run_ffmpeg
from tests.support.jobs import JFK, submit
from tests.support.service import Api, Service
from whisper_service.errors import Cancelled, ServiceError
from whisper_service.jobs.language_detector import Detection
from whisper_service.models import catalog
from whisper_service.tables import File, User
from whisper_service.whisper.engine import EngineCrashed
from whisper_service.whisper.protocol import LanguageDetected

WELSH = LanguageDetected("cy", 0.75)
SECOND = 16_000


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register()


def convert(service: Service, api: Api, path: Path = JFK) -> File:
    (answer,) = api.upload(path)
    service.worker.extract_once()
    return File.get(File.uuid == answer["uuid"])


def add(service: Service, file: File) -> Detection:
    model = catalog.find(service.settings.models.path, "ggml-tiny.en")
    detection = Detection(file.user_id, file.uuid, file.samples, model)
    service.worker.languages.add(detection)
    return detection


def detect(service: Service) -> bool:
    return service.worker.languages.detect_once(service.engine, service.worker._slots[0])


@pytest.fixture
def eleven_minutes(tmp_path: Path) -> Path:
    path = tmp_path / "long.flac"
    run_ffmpeg("-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", "660", "-c:a", "flac", path)
    return path


def test_the_language_of_a_recording_is_detected(service: Service, ann: Api) -> None:
    assert not detect(service)
    detection = add(service, convert(service, ann))
    assert service.worker.transcribe_once(service.engine)
    assert detection.result.result(0) == WELSH
    assert (service.engine.searches, service.engine.calls) == (1, [])
    assert service.engine.detected == [pytest.approx(11 * SECOND, abs=SECOND)]
    assert not detect(service)


def test_only_its_beginning_is_searched_and_half_a_minute_detected(
    service: Service, ann: Api, eleven_minutes: Path
) -> None:
    file = convert(service, ann, eleven_minutes)
    loud = add(service, file)
    assert detect(service)
    assert (service.engine.searches, service.engine.detected) == (1, [30 * SECOND])
    service.engine.speech = 0
    silent = add(service, file)
    assert detect(service)
    assert (loud.result.result(0), silent.result.result(0)) == (WELSH, None)
    assert (service.engine.searches, len(service.engine.detected)) == (1 + 10, 1)


def test_speech_that_was_found_before_is_not_searched_again(service: Service, ann: Api) -> None:
    submit(service, ann)
    service.work()
    detection = add(service, File.get())
    searches = service.engine.searches
    assert detect(service)
    assert (detection.result.result(0), service.engine.searches) == (WELSH, searches)


def test_it_takes_turns_with_a_transcription(service: Service, ann: Api) -> None:
    """A detection waits for no more than a chunk, and a chunk for no more than a detection."""
    submit(service, ann)
    service.work()
    for prompt in ("one", "two", "three"):
        submit(service, ann, prompt=prompt)
    done: list[str] = []
    service.engine.act = lambda: done.append("chunk")
    service.engine.act_on_detection = lambda: done.append("detection")
    for _ in range(3):
        add(service, File.get())
    service.transcribe(service.engine)
    assert done == ["detection", "chunk"] * 3


def test_only_the_first_engine_detects(service: Service, ann: Api) -> None:
    detection = add(service, convert(service, ann))
    assert not service.worker.transcribe_once(service.engine, 1)
    assert not detection.result.done()
    assert service.worker.transcribe_once(service.engine, 0)
    assert detection.result.done()


def test_users_take_turns(service: Service, ann: Api) -> None:
    bob = service.register("bob")
    anns, bobs = convert(service, ann), convert(service, bob)
    detections = [add(service, file) for file in (anns, anns, anns, bobs)]
    order = []
    while detect(service):
        order.append([each.result.done() for each in detections])
    assert order[:2] == [[True, False, False, False], [True, False, False, True]]
    assert len(order) == 4


def test_nobody_waits_any_more(service: Service, ann: Api) -> None:
    first, second = (add(service, convert(service, ann)) for _ in range(2))
    service.worker.languages.cancel(first)
    service.worker.languages.cancel(first)
    assert detect(service)
    assert not first.result.done()
    assert second.result.result(0) == WELSH
    assert not detect(service)


def test_one_under_way_ends_at_its_next_step(service: Service, ann: Api) -> None:
    detection = add(service, convert(service, ann))
    service.engine.act_on_search = lambda: service.worker.languages.cancel(detection)
    assert detect(service)
    assert service.engine.detected == []
    assert isinstance(detection.result.exception(0), ServiceError)


@pytest.mark.parametrize(
    ("raised", "status", "text"),
    [
        (EngineCrashed("died"), 503, "The detection of the language failed. Please try again"),
        (Cancelled(), 503, "The detection of the language was interrupted. Please try again"),
        (ServiceError("The model could not be loaded"), 400, "The model could not be loaded"),
        (RuntimeError("/a/path"), 500, "Internal server error"),
    ],
)
def test_a_failure_is_told_and_the_next_goes_on(
    service: Service, ann: Api, raised: Exception, status: int, text: str
) -> None:
    def fail() -> None:
        raise raised

    file = convert(service, ann)
    failing = add(service, file)
    service.engine.act_on_detection = fail
    assert detect(service)
    error = failing.result.exception(0)
    assert isinstance(error, ServiceError)
    assert (error.status, str(error)) == (status, text)
    service.engine = FakeEngine()
    after = add(service, file)
    assert detect(service)
    assert after.result.result(0) == WELSH


def test_a_file_that_is_deleted_meanwhile_is_not_found(service: Service, ann: Api) -> None:
    file = convert(service, ann)
    detection = add(service, file)
    ann.call("DELETE", f"/file/{file.uuid}")
    assert detect(service)
    error = detection.result.exception(0)
    assert isinstance(error, ServiceError)
    assert (error.status, str(error)) == (404, "File not found or access denied")
    assert User.get().token_balance == 1000
