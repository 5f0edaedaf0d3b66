"""Deleting files and transcriptions, waiting, running and finished."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import FakeEngine
from tests.support.ffmpeg import quiet_flac
from tests.support.interleaving import after
from tests.support.jobs import balance
from tests.support.paths import DATA
from tests.support.service import Api, Service
from whisper_service.files import conversions, ffmpeg
from whisper_service.files.turns import Turns
from whisper_service.jobs import orders, outcomes
from whisper_service.jobs.job import Job
from whisper_service.tables import File, StoredTranscript, Transcription
from whisper_service.transcript_key import TranscriptKey


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register("ann")


def order(service: Service, ann: Api, formats: list[str]) -> tuple[str, list[str]]:
    (file,) = ann.upload(DATA / "jfk.wav")
    service.convert_once()
    body = {"uuid": file["uuid"], "model": "ggml-tiny.en", "format": formats}
    queued = ann.post("/transcribe", body)["transcriptions"]
    return file["uuid"], [item["uuid"] for item in queued]


def while_running(service: Service, act: Callable[[], Any]) -> None:
    """Do something in the middle of the only job's run."""
    service.transcribe(FakeEngine(act))


def test_a_finished_transcription_goes_with_its_transcript(service: Service, ann: Api) -> None:
    _, (first, second) = order(service, ann, ["srt", "vtt"])
    service.work()
    answer = ann.call("DELETE", f"/transcribe/{first}").json
    assert answer == {
        "message": "Transcription deleted successfully",
        "uuid": first,
        "model": "ggml-tiny.en",
        "format": "srt",
    }
    assert StoredTranscript.select().count() == 1
    service.anyone.error("GET", f"/transcribe/{first}", 404)
    service.anyone.get(f"/transcribe/{second}")
    ann.call("DELETE", f"/transcribe/{second}")
    assert StoredTranscript.select().count() == 0
    assert balance() == 1000 - 22


@pytest.mark.parametrize("formats", [["srt"], ["srt", "vtt"]])
def test_a_list_leaves_out_what_is_deleted_while_it_is_read(
    service: Service, ann: Api, monkeypatch: pytest.MonkeyPatch, formats: list[str]
) -> None:
    file, (first, *others) = order(service, ann, formats)
    service.work()
    after(monkeypatch, orders, "of_file", lambda: ann.call("DELETE", f"/transcribe/{first}"))
    listed = service.anyone.get(f"/transcribe/{file}")["transcriptions"]
    assert [item["uuid"] for item in listed] == others
    assert all(item["data"] for item in listed)


def test_a_result_that_is_deleted_while_it_is_read_is_not_found(
    service: Service, ann: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, (uuid,) = order(service, ann, ["srt"])
    service.work()
    after(monkeypatch, orders, "find", lambda: ann.call("DELETE", f"/transcribe/{uuid}"))
    assert service.anyone.error("GET", f"/transcribe/{uuid}", 404) == "Transcription not found"


def test_a_running_transcription_is_cancelled_and_refunded(service: Service, ann: Api) -> None:
    _, (uuid,) = order(service, ann, ["srt"])
    while_running(service, lambda: ann.call("DELETE", f"/transcribe/{uuid}"))
    assert Transcription.select().count() == 0
    assert StoredTranscript.select().count() == 0
    assert balance() == 1000


def test_the_others_of_a_run_go_on(service: Service, ann: Api) -> None:
    _, (first, second) = order(service, ann, ["srt", "vtt"])
    job = None

    def delete_one() -> None:
        nonlocal job
        ann.call("DELETE", f"/transcribe/{first}")
        row = Transcription.get()
        job = Job(row.claim, row.user_id, TranscriptKey.of(row), samples=0)
        assert outcomes.is_wanted(job)

    while_running(service, delete_one)
    assert service.anyone.get(f"/transcribe/{second}")["status"] == "completed"
    assert balance() == 1000 - 11


def test_a_deleted_file_fails_what_waits_and_runs(service: Service, ann: Api) -> None:
    uuid, (running,) = order(service, ann, ["srt"])

    def delete_file() -> None:
        ann.post("/transcribe", {"uuid": uuid, "model": "ggml-tiny.en", "format": "vtt"})
        answer = ann.call("DELETE", f"/file/{uuid}").json
        assert answer == {
            "message": "File deleted successfully",
            "uuid": uuid,
            "filename": "jfk.wav",
        }

    while_running(service, delete_file)
    for item in service.anyone.get(f"/transcribe/{uuid}")["transcriptions"]:
        assert (item["status"], item["error"]) == ("failed", "File deleted")
    assert service.anyone.get(f"/transcribe/{running}")["status"] == "failed"
    assert balance() == 1000
    assert list((service.storage.root / "files").iterdir()) == []
    assert ann.get("/file")["files"] == []


def test_finished_transcriptions_outlive_their_file(service: Service, ann: Api) -> None:
    uuid, (finished,) = order(service, ann, ["srt"])
    service.work()
    ann.call("DELETE", f"/file/{uuid}")
    assert service.anyone.get(f"/transcribe/{finished}")["status"] == "completed"
    assert len(service.anyone.get(f"/transcribe/{uuid}")["transcriptions"]) == 1
    service.anyone.error("GET", f"/file/{uuid}", 404)


def test_a_file_deleted_in_mid_conversion_leaves_nothing(
    service: Service, ann: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffmpeg, "POLL_INTERVAL", 0.01)
    (file,) = ann.upload(quiet_flac(tmp_path / "quiet.flac", 3600))
    looked_up: list[str] = []

    def running() -> bool:
        if not looked_up:
            looked_up.append(file["uuid"])
            ann.call("DELETE", f"/file/{file['uuid']}")
        return True

    assert conversions.extract_next(service.storage, 3600, running, Turns())
    assert File.select().count() == 0
    assert list((service.storage.root / "files").iterdir()) == []
    assert list((service.storage.root / "tmp").iterdir()) == []


def test_the_same_recording_can_come_again(service: Service, ann: Api) -> None:
    (first,) = ann.upload(DATA / "jfk.wav")
    ann.call("DELETE", f"/file/{first['uuid']}")
    (second,) = ann.upload(DATA / "jfk.wav")
    assert second["status"] == {"existed": False, "uploaded": True}
    assert second["uuid"] != first["uuid"]


def test_files_are_listed_newest_first_in_pages(service: Service, ann: Api) -> None:
    names = ["austen-0880.wav", "austen-0890.wav", "jfk.wav"]
    for name in names:
        ann.upload(DATA / name)
    service.convert_once()
    answer = ann.get("/file?limit=2")
    assert [item["filename"] for item in answer["files"]] == ["jfk.wav", "austen-0890.wav"]
    assert answer["pagination"] == {"page": 1, "limit": 2, "total_count": 3, "total_pages": 2}
    (last,) = ann.get("/files?limit=2&page=2")["files"]
    assert last["status"] == "ready"
    assert last["content_type"] == "audio/mpeg"
    assert last["duration_seconds"] == pytest.approx(2.99, abs=0.01)
    download = service.anyone.call("GET", f"/file/{last['uuid']}")
    assert last["size_bytes"] == len(download.data)
    first = answer["files"][0]
    assert (first["status"], first["duration_seconds"]) == ("converting", None)
    assert first["size_bytes"] == (DATA / "jfk.wav").stat().st_size
    assert ann.get("/file?page=3&limit=2")["files"] == []
    assert service.register("bob").get("/file")["pagination"] == {
        "page": 1,
        "limit": 10,
        "total_count": 0,
        "total_pages": 0,
    }


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("page=0", "page must be a positive integer"),
        ("page=x", "page must be a positive integer"),
        ("page=-1", "page must be a positive integer"),
        ("page=1.0", "page must be a positive integer"),
        ("limit=0", "limit must be an integer between 1 and 100"),
        ("limit=101", "limit must be an integer between 1 and 100"),
        ("limit=", "limit must be an integer between 1 and 100"),
    ],
)
def test_a_page_has_bounds(ann: Api, query: str, message: str) -> None:
    assert ann.error("GET", f"/file?{query}", 400) == message


def test_a_file_is_renamed(service: Service, ann: Api) -> None:
    (file,) = ann.upload(DATA / "austen-0880.wav")
    answer = ann.call("PATCH", f"/file/{file['uuid']}", json={"filename": "a/new name.mp3"}).json
    assert answer == {
        "message": "Filename updated successfully",
        "uuid": file["uuid"],
        "old_filename": "austen-0880.wav",
        "new_filename": "new name.mp3",
    }
    assert ann.get("/file")["files"][0]["filename"] == "new name.mp3"
