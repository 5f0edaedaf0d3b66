"""Jobs where there is a GPU."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.engine import FakeEngine
from tests.support.ffmpeg import run_ffmpeg
from tests.support.jobs import balance, statuses, submit
from tests.support.paths import DATA
from tests.support.service import Service, in_process
from whisper_service.config import Config
from whisper_service.errors import ServiceError
from whisper_service.jobs.slots import DeviceSlot
from whisper_service.tables import Transcription
from whisper_service.whisper import devices
from whisper_service.whisper.devices import Device
from whisper_service.whisper.engine import EngineCrashed

CHUNKS, SECONDS = 3, 44
# One and a half times as fast as the processor, whose engines are two.
GPU = Device("vulkan", 0, "A card", 1024**3, 1.5, 17)


@pytest.fixture
def device() -> Device:
    return GPU


@pytest.fixture
def service(settings: Config, device: Device, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service with a GPU, and two engines on processors."""
    monkeypatch.setattr(devices, "find", lambda _settings: [device])
    two = replace(settings, worker=replace(settings.worker, jobs=2))
    with in_process(two) as service:
        yield service


@pytest.fixture
def slot(service: Service) -> DeviceSlot:
    ((_, slot),) = service.worker._devices
    return slot


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """A recording of three chunks, 44 seconds long."""
    path = tmp_path / "talk.mp3"
    run_ffmpeg("-stream_loop", "3", "-i", DATA / "jfk.wav", "-b:a", "64k", path)
    return path


def on_the_gpu(service: Service, slot: DeviceSlot, engine: FakeEngine) -> int:
    """Let the GPU do all that it may; return how many tasks that was."""
    tasks = 0
    while service.worker.runner.transcribe_once(engine, slot):  # type: ignore[arg-type]
        tasks += 1
        assert tasks < 20, "it goes on for ever"
    return tasks


def on_processors(service: Service, engine: FakeEngine) -> None:
    service.transcribe(engine)


def test_a_processor_leaves_to_it_what_it_does_sooner(
    service: Service, slot: DeviceSlot, talk: Path
) -> None:
    ann = service.register()
    (uuid,) = submit(service, ann, talk)
    here, there = FakeEngine(), FakeEngine()
    on_processors(service, here)
    assert here.searches > 0
    assert here.calls == [], "three chunks wait, as many as the GPU does meanwhile"
    assert on_the_gpu(service, slot, there) == CHUNKS
    assert len(there.calls) == CHUNKS
    assert ann.get(f"/transcribe/{uuid}")["status"] == "completed"


@pytest.mark.parametrize("device", [replace(GPU, speed=1.4)])
def test_a_processor_helps_when_much_waits(service: Service, slot: DeviceSlot, talk: Path) -> None:
    submit(service, service.register(), talk)
    here, there = FakeEngine(), FakeEngine()
    on_processors(service, here)
    assert len(here.calls) == 1
    assert on_the_gpu(service, slot, there) == CHUNKS - 1
    assert statuses() == ["completed"]


@pytest.mark.parametrize(
    "error",
    [
        EngineCrashed("The engine ended with -9"),
        ServiceError("The model could not be loaded"),
        ServiceError("The recording could not be transcribed"),
    ],
    ids=["killed", "no memory for the model", "no memory for a chunk"],
)
@pytest.mark.parametrize("done_before", [0, 2])
def test_a_job_that_fails_there_goes_on_with_processors(
    service: Service,
    slot: DeviceSlot,
    talk: Path,
    error: Exception,
    done_before: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ann = service.register()
    before = balance()
    (uuid,) = submit(service, ann, talk)

    def fail() -> None:
        if len(there.calls) > done_before:
            raise error

    here, there = FakeEngine(), FakeEngine(fail)
    on_processors(service, here)
    assert on_the_gpu(service, slot, there) == done_before + 1
    on_processors(service, here)
    answer = ann.get(f"/transcribe/{uuid}")
    assert answer["status"] == "completed"
    assert answer["data"]["text"] == " ".join(CHUNKS * ["Hello world."])
    assert len(here.calls) == CHUNKS - done_before
    assert before - balance() == SECONDS
    assert Transcription.get().attempts == 0
    assert f"goes on without A card: {error}" in caplog.text


def test_what_fails_on_processors_as_well_fails(
    service: Service, slot: DeviceSlot, talk: Path
) -> None:
    ann = service.register()
    before = balance()
    submit(service, ann, talk)

    def fail() -> None:
        raise ServiceError("The recording could not be transcribed")

    on_processors(service, FakeEngine(fail))
    on_the_gpu(service, slot, FakeEngine(fail))
    on_processors(service, FakeEngine(fail))
    assert statuses() == ["failed"]
    assert balance() == before


def test_a_job_that_crashed_before_is_left_to_processors(
    service: Service, slot: DeviceSlot, talk: Path
) -> None:
    submit(service, service.register(), talk)
    Transcription.update(attempts=1).execute()
    here, there = FakeEngine(), FakeEngine()
    assert on_the_gpu(service, slot, there) <= 1  # which claims the job
    on_processors(service, here)
    assert there.calls == []
    assert len(here.calls) == CHUNKS
    assert here.is_prebuilt


@pytest.mark.parametrize("device", [replace(GPU, memory=10)])
def test_a_model_that_does_not_fit_is_left_to_processors(
    service: Service, slot: DeviceSlot, talk: Path
) -> None:
    submit(service, service.register(), talk)
    here, there = FakeEngine(), FakeEngine()
    assert on_the_gpu(service, slot, there) == 0
    on_processors(service, here)
    assert len(here.calls) == CHUNKS
    assert statuses() == ["completed"]


@pytest.mark.parametrize("device", [replace(GPU, chunk_seconds=27)])
def test_chunks_are_as_long_as_it_likes_them(
    service: Service, slot: DeviceSlot, talk: Path
) -> None:
    submit(service, service.register(), talk)
    there = FakeEngine()
    on_processors(service, FakeEngine())
    on_the_gpu(service, slot, there)
    assert len(there.calls) == CHUNKS - 1
    assert statuses() == ["completed"]


def test_it_is_named(service: Service) -> None:
    assert service.worker.device_names == ["A card"]
    text = service.client.get("/metrics").text
    assert 'whisper_engines{machine="A card",state="idle"} 1.0' in text
