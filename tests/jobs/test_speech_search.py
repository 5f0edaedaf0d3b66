"""Speech that is searched for before anybody orders a transcription."""

from pathlib import Path

import pytest

from tests.support.engine import FakeEngine, segment
from tests.support.ffmpeg import run_ffmpeg
from tests.support.jobs import JFK
from tests.support.service import Api, Service
from whisper_service.audio import FRAME_SAMPLES
from whisper_service.db import write_transaction
from whisper_service.jobs import checkpoints
from whisper_service.jobs.speech_search import SpeechSearch
from whisper_service.tables import Transcription
from whisper_service.transcript_key import TranscriptKey
from whisper_service.whisper.chunking import Chunk
from whisper_service.whisper.engine import EngineCrashed
from whisper_service.whisper.protocol import CERTAIN, Transcribed

FRAMES = -(-11 * 16_000 // FRAME_SAMPLES)


@pytest.fixture
def ann(service: Service) -> Api:
    service.engine.model = Path("ggml-tiny.en.bin")
    return service.register()


def convert(service: Service, ann: Api, path: Path = JFK) -> str:
    (file,) = ann.upload(path)
    assert service.convert_once()
    return str(file["uuid"])


def order(ann: Api, file: str) -> str:
    body = {"uuid": file, "model": "ggml-tiny.en"}
    return str(ann.post("/transcribe", body)["transcriptions"][0]["uuid"])


@pytest.fixture
def two_minutes(tmp_path: Path) -> Path:
    path = tmp_path / "long.wav"
    run_ffmpeg("-f", "lavfi", "-i", "anullsrc=r=16000:cl=mono", "-t", "120", "-c:a", "flac",
               "-f", "flac", path)  # fmt: skip
    return path


def test_a_job_begins_with_its_chunks(service: Service, ann: Api) -> None:
    file = convert(service, ann)
    assert service.worker.transcribe_once(service.engine)
    assert service.storage.probabilities(file).read_bytes() == bytes([CERTAIN] * FRAMES)
    assert not service.worker.transcribe_once(service.engine)
    uuid = order(ann, file)
    service.transcribe(service.engine)
    assert service.engine.searches == 1
    assert ann.get(f"/transcribe/{uuid}")["data"]["text"] == "Hello world."


def test_what_a_job_found_is_kept_for_the_next(service: Service, ann: Api) -> None:
    file = convert(service, ann)
    for _ in range(2):
        uuid = order(ann, file)
        service.transcribe(service.engine)
        assert ann.get(f"/transcribe/{uuid}")["status"] == "completed"
        ann.call("DELETE", f"/transcribe/{uuid}")
    assert service.engine.calls == 2 * [("ggml-tiny.en.bin", "en")]
    assert service.engine.searches == 1


def test_what_is_known_to_have_no_speech_is_completed(service: Service, ann: Api) -> None:
    service.engine.speech = 0
    file = convert(service, ann)
    assert service.worker.transcribe_once(service.engine)  # the search
    for _ in range(2):
        uuid = order(ann, file)
        service.transcribe(service.engine)
        answer = ann.get(f"/transcribe/{uuid}")
        assert (answer["status"], answer["language"]) == ("completed", None)
        ann.call("DELETE", f"/transcribe/{uuid}")


def test_a_job_whose_chunks_are_all_saved_is_completed(service: Service, ann: Api) -> None:
    file = convert(service, ann)
    assert service.worker.transcribe_once(service.engine)
    uuid = order(ann, file)
    answer = Transcribed("en", [segment(0, 1, " Saved.")])
    with write_transaction():
        checkpoints.save(TranscriptKey.of(Transcription.get()), Chunk(0, 11 * 16_000), answer)
    service.transcribe(service.engine)
    assert ann.get(f"/transcribe/{uuid}")["data"]["text"] == "Saved."
    assert service.engine.calls == []


def test_no_engine_is_started_for_it(service: Service, ann: Api) -> None:
    service.engine.model = None
    file = convert(service, ann)
    assert not service.worker.transcribe_once(service.engine)
    assert not service.storage.probabilities(file).exists()


def test_it_gives_way_to_a_job(service: Service, ann: Api, two_minutes: Path) -> None:
    long, short = convert(service, ann, two_minutes), convert(service, ann)
    service.engine.act_on_search = lambda: order(ann, short)
    assert service.worker.transcribe_once(service.engine)
    assert service.engine.searches == 1
    assert not service.storage.probabilities(long).exists()


def test_each_block_is_a_sign_of_life(service: Service, ann: Api, two_minutes: Path) -> None:
    """Blocks that are answered at once would otherwise make a long search look stuck."""
    answers = iter([True, False])
    search = SpeechSearch(service.storage, lambda: True, lambda: next(answers))
    search.add(convert(service, ann, two_minutes))
    assert search.search_once(service.engine)  # type: ignore[arg-type]
    assert service.engine.searches == 1


def test_a_file_that_is_deleted_meanwhile_leaves_nothing(service: Service, ann: Api) -> None:
    file = convert(service, ann)
    service.engine.act_on_search = lambda: ann.call("DELETE", f"/file/{file}")
    assert service.worker.transcribe_once(service.engine)
    assert not service.storage.speech(file).parent.exists()


def test_a_crash_costs_nobody_anything(service: Service, ann: Api) -> None:
    def crash() -> None:
        raise EngineCrashed("The engine ended with -11")

    file = convert(service, ann)
    service.engine.act_on_search = crash
    assert service.worker.transcribe_once(service.engine)
    uuid = order(ann, file)
    service.transcribe(FakeEngine())
    assert ann.get(f"/transcribe/{uuid}")["status"] == "completed"


@pytest.mark.parametrize("kept", [b"", bytes(FRAMES - 1), bytes(FRAMES + 1)])
def test_what_is_damaged_is_found_again(service: Service, ann: Api, kept: bytes) -> None:
    file = convert(service, ann)
    service.storage.probabilities(file).write_bytes(kept)
    uuid = order(ann, file)
    service.transcribe(service.engine)
    assert ann.get(f"/transcribe/{uuid}")["data"]["text"] == "Hello world."
    assert service.storage.probabilities(file).read_bytes() == bytes([CERTAIN] * FRAMES)


def test_nothing_is_kept_in_the_reserve_of_the_disk(service: Service, ann: Api) -> None:
    file = convert(service, ann)
    uuid = order(ann, file)
    service.storage._reserve_bytes = service.storage.free() + 10**9
    service.transcribe(service.engine)
    assert ann.get(f"/transcribe/{uuid}")["data"]["text"] == "Hello world."
    assert not service.storage.probabilities(file).exists()


def test_a_disk_that_refuses_it_stops_no_job(
    service: Service, ann: Api, caplog: pytest.LogCaptureFixture
) -> None:
    file = convert(service, ann)
    service.storage.probabilities(file).mkdir()
    uuid = order(ann, file)
    service.transcribe(service.engine)
    assert ann.get(f"/transcribe/{uuid}")["data"]["text"] == "Hello world."
    assert "is not kept: Is a directory" in caplog.text
