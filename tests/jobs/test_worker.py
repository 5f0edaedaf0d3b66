"""The steps of the worker, and its threads."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.support.engine import FakeEngine
from tests.support.ffmpeg import run_ffmpeg
from tests.support.jobs import balance, statuses, submit
from tests.support.paths import DATA
from tests.support.service import Api, Service
from whisper_service import config
from whisper_service.config import Config
from whisper_service.errors import Cancelled, ServiceError
from whisper_service.files import transcoding
from whisper_service.jobs.worker import Worker
from whisper_service.tables import Checkpoint, File, StoredTranscript, Transcription, User
from whisper_service.whisper.engine import EngineCrashed
from whisper_service.whisper.protocol import Transcribed


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
    assert service.engine.calls == [("ggml-tiny.en.bin", "en")]


def test_a_converted_file_has_its_copies_and_no_original(service: Service) -> None:
    ann = service.register()
    (uploaded,) = ann.upload(DATA / "jfk.wav")
    uuid = uploaded["uuid"]
    assert service.storage.original(uuid).read_bytes() == (DATA / "jfk.wav").read_bytes()
    assert service.convert_once()
    assert not service.storage.original(uuid).exists()
    assert transcoding.count_samples(service.storage.speech(uuid)) == 176_000
    file = File.get()
    assert (file.status, file.samples, file.content_type) == ("ready", 176_000, "audio/mpeg")
    assert file.size_bytes == service.storage.converted(uuid).stat().st_size
    assert not service.convert_once()


def test_speech_is_heard_before_the_copy_is_made(service: Service) -> None:
    ann = service.register()
    file = ann.upload(DATA / "jfk.wav")[0]["uuid"]
    order = {"uuid": file, "model": "ggml-tiny.en"}
    uuid = ann.post("/transcribe", order)["transcriptions"][0]["uuid"]
    assert service.worker.extract_once()
    service.transcribe(service.engine)
    assert ann.get(f"/transcribe/{uuid}")["status"] == "completed"
    assert (File.get().status, File.get().samples) == ("converting", 176_000)
    assert service.storage.original(file).exists()
    assert not service.worker.extract_once()
    service.storage.original(file).write_bytes(b"damaged since")
    assert service.worker.encode_once()
    assert ann.get("/file")["files"][0]["status"] == "failed"
    assert ann.get(f"/transcribe/{uuid}")["data"]["text"]
    assert ann.post("/transcribe", order), "its speech is there"


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
    service.transcribe(fail_with(ServiceError("The model file is truncated")))
    assert ann.get(f"/transcribe/{uuid}")["error"] == "The model file is truncated"
    assert balance() == 1000


def test_an_unexpected_error_is_not(service: Service) -> None:
    ann = service.register()
    (uuid,) = submit(service, ann)
    service.transcribe(fail_with(KeyError("/secret/path")))
    assert ann.get(f"/transcribe/{uuid}")["error"] == "Internal error"
    assert balance() == 1000


def test_an_answer_that_makes_no_transcript_fails_the_job(service: Service) -> None:
    ann = service.register()
    (uuid,) = submit(service, ann)

    class Confused(FakeEngine):
        def ask(self, *arguments: Any, **more: Any) -> Any:
            answer = super().ask(*arguments, **more)
            is_text = isinstance(answer, Transcribed)
            return replace(answer, segments=[{"text": "no times"}]) if is_text else answer

    service.transcribe(Confused())
    assert ann.get(f"/transcribe/{uuid}")["error"] == "Internal error"
    assert balance() == 1000
    assert service.worker.runner.scheduler._busy.total() == 0


def test_a_recording_that_kills_the_engine_fails_after_three_tries(service: Service) -> None:
    ann = service.register()
    (uuid,) = submit(service, ann)
    engine = fail_with(EngineCrashed("-11"))
    service.transcribe(engine)
    assert len(engine.calls) == 3
    assert ann.get(f"/transcribe/{uuid}")["status"] == "failed"
    assert balance() == 1000


def test_after_a_crash_the_prebuilt_engine_is_asked(service: Service) -> None:
    ann = service.register()
    (uuid,) = submit(service, ann)
    seen = []

    def act() -> None:
        seen.append(engine.is_prebuilt)
        if not engine.is_prebuilt:
            raise EngineCrashed("-4")

    engine = FakeEngine(act)
    service.transcribe(engine)
    assert seen == [False, True]
    assert ann.get(f"/transcribe/{uuid}")["data"]["text"] == "Hello world."


def test_a_cancelled_job_goes_back(service: Service) -> None:
    ann = service.register()
    submit(service, ann)
    engine = fail_with(Cancelled())
    while not engine.calls:
        service.worker.transcribe_once(engine)
    assert statuses() == ["pending"]
    assert Transcription.get().attempts == 0


def test_a_model_that_went_away_fails_the_job(service: Service) -> None:
    ann = service.register()
    (uuid,) = submit(service, ann)
    Transcription.update(model="ggml-gone").execute()
    service.work()
    assert ann.get(f"/transcribe/{uuid}")["error"] == "Model not found: ggml-gone"


def test_what_was_made_before_is_answered_at_once_and_paid(service: Service) -> None:
    ann = service.register()
    (first,) = submit(service, ann)
    service.work()
    (second,) = submit(service, ann, format="srt")
    service.work()
    assert len(service.engine.calls) == 1
    assert ann.get(f"/transcribe/{second}")["data"]["text"].startswith("1\n00:00:00,000")
    assert StoredTranscript.select().count() == 1
    assert balance() == 1000 - 22
    (other,) = submit(service, ann, language="en")
    service.work()
    assert len(service.engine.calls) == 2
    User.update(token_balance=3).execute()
    (unpaid,) = submit(service, ann, format="vtt")
    service.work()
    error = ann.get(f"/transcribe/{unpaid}")["error"]
    assert error == "Insufficient token balance. Required: 11, Available: 3"
    assert {first, other} <= {row.uuid for row in Transcription.select()}


def test_a_crash_keeps_the_chunks_that_were_done(service: Service, tmp_path: Path) -> None:
    talk = tmp_path / "talk.mp3"
    run_ffmpeg("-stream_loop", "3", "-i", DATA / "jfk.wav", "-b:a", "64k", talk)
    ann = service.register()
    (uuid,) = submit(service, ann, talk)
    crashes = iter([None, EngineCrashed("-11")])

    def act() -> None:
        if error := next(crashes, None):
            raise error

    engine = FakeEngine(act)
    while not Checkpoint.select().exists():
        service.worker.transcribe_once(engine)
    service.worker.transcribe_once(engine)
    assert statuses() == ["pending"]
    assert Checkpoint.select().count() == 1
    before = len(engine.calls)
    service.transcribe(engine)
    assert len(engine.calls) == before + 2
    assert ann.get(f"/transcribe/{uuid}")["data"]["text"] == " ".join(["Hello world."] * 3)
    assert Checkpoint.select().count() == 0


def test_an_engine_without_work_gives_its_memory_back(settings: Config, service: Service) -> None:
    closed = threading.Event()

    class Closing(FakeEngine):
        def close(self) -> None:
            closed.set()

    worker = Worker(
        replace(settings, worker=config.WorkerSettings(jobs=1, idle_seconds=1)), service.storage
    )
    worker.engines = [Closing()]  # type: ignore[list-item]
    worker.start()
    try:
        assert closed.wait(30)
    finally:
        worker.stop()


def test_the_threads_do_the_work_and_stop(service: Service) -> None:
    done = threading.Event()
    service.worker.engines = [FakeEngine(done.set)]  # type: ignore[list-item]
    ann: Api = service.register()
    service.worker.start()
    (uploaded,) = ann.upload(DATA / "austen-0880.wav")
    ann.post("/transcribe", {"uuid": uploaded["uuid"], "model": "ggml-tiny.en"})
    service.worker.wake()
    assert done.wait(10)
    service.worker.stop()
    assert statuses() == ["completed"]
