"""The steps of the worker, and its threads."""

import threading

from tests.conftest import Api, Service
from tests.fakes import FakeEngine
from tests.speech import DATA
from tests.test_jobs import balance, statuses, submit
from whisper_service import media
from whisper_service.engine import EngineCrashed
from whisper_service.errors import Cancelled, ServiceError
from whisper_service.tables import File, Transcription


def fail_with(error: Exception) -> FakeEngine:
    def act() -> None:
        raise error

    return FakeEngine(act)


def test_an_upload_is_converted_and_transcribed(service: Service) -> None:
    ann = service.register()
    (uuid,) = submit(service, ann)
    service.work()
    answer = ann.get(f"/transcribe/{uuid}")
    assert answer["status"] == "completed"
    assert answer["data"]["text"] == "Hello world."
    assert answer["data"]["duration"] == 11.0
    assert service.engine.calls == [("ggml-tiny.en.bin", "auto")]


def test_a_converted_file_has_its_copies_and_no_original(service: Service) -> None:
    ann = service.register()
    (uploaded,) = ann.upload(DATA / "jfk.wav")
    uuid = uploaded["uuid"]
    assert service.storage.original(uuid).read_bytes() == (DATA / "jfk.wav").read_bytes()
    assert service.worker.convert_once()
    assert not service.storage.original(uuid).exists()
    assert media.count_samples(service.storage.speech(uuid)) == 176_000
    file = File.get()
    assert (file.status, file.samples, file.content_type) == ("ready", 176_000, "audio/mpeg")
    assert file.size_bytes == service.storage.converted(uuid).stat().st_size
    assert not service.worker.convert_once()


def test_a_file_that_cannot_be_converted_fails_what_waits_for_it(service: Service) -> None:
    ann = service.register()
    (uploaded,) = ann.upload(DATA / "jfk.wav")
    uuid = uploaded["uuid"]
    body = {"uuid": uuid, "model": "ggml-tiny.en"}
    ann.post("/transcribe", body)
    service.storage.original(uuid).write_bytes(b"not what was uploaded")
    service.work()
    (answer,) = ann.get(f"/transcribe/{uuid}")["transcriptions"]
    assert (answer["status"], answer["error"]) == ("failed", "Unsupported content type")
    assert "data" not in answer
    assert service.storage.original(uuid).exists()
    assert ann.error("POST", "/transcribe", 400, body).startswith("The file cannot be transcribed")
    (again,) = ann.upload(DATA / "jfk.wav")
    assert again["uuid"] == uuid
    assert again["status"] == {"existed": False, "uploaded": True}
    service.work()
    assert File.get().status == "ready"


def test_an_expected_error_is_shown(service: Service) -> None:
    ann = service.register()
    (uuid,) = submit(service, ann)
    service.worker.transcribe_once(fail_with(ServiceError("The model file is truncated")))
    assert ann.get(f"/transcribe/{uuid}")["error"] == "The model file is truncated"
    assert balance() == 1000


def test_an_unexpected_error_is_not(service: Service) -> None:
    ann = service.register()
    (uuid,) = submit(service, ann)
    service.worker.transcribe_once(fail_with(KeyError("/secret/path")))
    assert ann.get(f"/transcribe/{uuid}")["error"] == "Internal error"
    assert balance() == 1000


def test_a_recording_that_kills_the_engine_fails_after_three_tries(service: Service) -> None:
    ann = service.register()
    (uuid,) = submit(service, ann)
    engine = fail_with(EngineCrashed("-11"))
    while service.worker.transcribe_once(engine):
        pass
    assert len(engine.calls) == 3
    assert ann.get(f"/transcribe/{uuid}")["status"] == "failed"
    assert balance() == 1000


def test_a_cancelled_job_goes_back(service: Service) -> None:
    ann = service.register()
    submit(service, ann)
    service.worker.transcribe_once(fail_with(Cancelled()))
    assert statuses() == ["pending"]
    assert Transcription.get().attempts == 0


def test_a_model_that_went_away_fails_the_job(service: Service) -> None:
    ann = service.register()
    (uuid,) = submit(service, ann)
    Transcription.update(model="ggml-gone").execute()
    service.work()
    assert ann.get(f"/transcribe/{uuid}")["error"] == "Model not found: ggml-gone"


def test_the_threads_do_the_work_and_stop(service: Service) -> None:
    done = threading.Event()
    service.worker.engines = [FakeEngine(done.set)]  # type: ignore[list-item]
    service.worker.engines[0].close = lambda: None  # type: ignore[method-assign]
    ann: Api = service.register()
    service.worker.start()
    (uploaded,) = ann.upload(DATA / "austen-0880.wav")
    ann.post("/transcribe", {"uuid": uploaded["uuid"], "model": "ggml-tiny.en"})
    service.worker.wake()
    assert done.wait(10)
    service.worker.stop()
    assert statuses() == ["completed"]
