"""All transcriptions of a file, of which there may be thousands."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import FakeEngine
from tests.support.ffmpeg import run_ffmpeg
from tests.support.paths import DATA
from tests.support.service import Api, Service
from tests.support.statements import before_statements
from tests.support.transcripts import finish, transcript
from whisper_service.transcripts.formats import ORDERED
from whisper_service.web import transcriptions

MIB = 1024**2


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register()


@pytest.fixture
def file_uuid(ann: Api) -> str:
    return ann.upload(DATA / "austen-0880.wav")[0]["uuid"]


def test_transcriptions_of_a_file_are_listed_in_pages_oldest_first(
    service: Service, ann: Api, file_uuid: str
) -> None:
    uuids = finish(file_uuid, *(transcript(f"Number {n}.") for n in range(120)))
    answer = service.anyone.get(f"/transcribe/{file_uuid}")
    assert [item["uuid"] for item in answer["transcriptions"]] == uuids[:100]
    assert "Number 99." in answer["transcriptions"][99]["data"]["text"]
    assert answer["pagination"] == {"page": 1, "limit": 100, "total_count": 120, "total_pages": 2}
    answer = service.anyone.get(f"/transcribe/{file_uuid}?page=3&limit=50&format=txt")
    assert [item["uuid"] for item in answer["transcriptions"]] == uuids[100:]
    assert answer["transcriptions"][0]["data"] == {"text": "Number 100."}
    assert service.anyone.get(f"/transcribe/{file_uuid}?page=4&limit=50")["transcriptions"] == []
    for query, message in {
        "page=0": "page must be a positive integer",
        "limit=101": "limit must be an integer between 1 and 100",
    }.items():
        assert service.anyone.error("GET", f"/transcribe/{file_uuid}?{query}", 400) == message


def test_a_list_takes_few_queries(service: Service, file_uuid: str) -> None:
    finish(file_uuid, *(transcript(f"Number {n}.") for n in range(100)))
    seen: list[str] = []
    with before_statements(seen.append):
        assert len(service.anyone.get(f"/transcribe/{file_uuid}")["transcriptions"]) == 100
    assert len(seen) <= 5


def test_the_text_in_a_list_is_limited(service: Service, file_uuid: str) -> None:
    texts = ["short", "x" * 3 * MIB, "y" * 3 * MIB, "short", "short"]
    uuids = finish(file_uuid, *(transcript(text) for text in texts))
    listed = service.anyone.get(f"/transcribe/{file_uuid}?format=json")["transcriptions"]
    assert [item["uuid"] for item in listed] == uuids
    assert [item["data"] and item["data"]["text"][:5] for item in listed] == [
        "short",
        "xxxxx",
        None,
        None,
        None,
    ]
    assert [item.get("data_omitted") for item in listed] == [None, None, True, True, True]
    for uuid, text in zip(uuids, texts, strict=True):
        assert service.anyone.get(f"/transcribe/{uuid}?format=json")["data"]["text"] == text


def test_the_first_transcript_of_a_list_has_its_data_whatever_its_size(
    service: Service, ann: Api, file_uuid: str
) -> None:
    pending = {"uuid": file_uuid, "model": "ggml-tiny.en", "language": "en"}
    ann.post("/transcribe", pending)
    finish(file_uuid, transcript("x" * 5 * MIB), transcript("short"))
    listed = service.anyone.get(f"/transcribe/{file_uuid}?format=json")["transcriptions"]
    assert [item["status"] for item in listed] == ["pending", "completed", "completed"]
    assert listed[1]["data"]["text"] == "x" * 5 * MIB
    assert [item.get("data_omitted") for item in listed] == [None, None, True]


@pytest.mark.parametrize(
    ("path", "status"),
    [("{0}", 404), ("{0}?download=1", 404), ("{0}/events", 404), ("{file}", 200)],
)
def test_a_transcript_deleted_during_a_request_is_left_out(
    service: Service, ann: Api, file_uuid: str, path: str, status: int
) -> None:
    """The deletion comes after the row was read, and before its transcript is."""
    uuids = finish(file_uuid, transcript("first"), transcript("second"))

    again = Api(service.client.application.test_client(), ann.authorization)
    deleted: list[str] = []

    def delete(sql: str) -> None:
        if '"transcript" ' in sql and not deleted:
            deleted.append(uuids[0])
            with ThreadPoolExecutor(1) as pool:  # with a connection of its own
                pool.submit(again.call, "DELETE", f"/transcribe/{uuids[0]}").result()

    with before_statements(delete):
        url = path.format(uuids[0], file=file_uuid)
        answer = service.anyone.call("GET", f"/transcribe/{url}", expect=status)
    assert deleted
    if status == 200:
        assert [item["uuid"] for item in answer.json["transcriptions"]] == uuids[1:]
    else:
        assert answer.text == "Transcription not found"


def test_texts_so_far_are_limited_too(
    service: Service, ann: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All formats of a request share one run, and with it its text."""
    monkeypatch.setattr(transcriptions, "MAX_LIST_LENGTH", 2 * len("Hello world."))
    run_ffmpeg("-stream_loop", "3", "-i", DATA / "jfk.wav", tmp_path / "talk.mp3")
    (file,) = ann.upload(tmp_path / "talk.mp3")
    ann.post("/transcribe", {"uuid": file["uuid"], "model": "ggml-tiny.en", "format": ORDERED})
    service.convert_once()
    seen: list[Any] = []

    def look() -> None:
        if len(engine.calls) == 2:
            seen.extend(service.anyone.get(f"/transcribe/{file['uuid']}")["transcriptions"])
            seen.append(service.anyone.get(f"/transcribe/{seen[-1]['uuid']}"))

    engine = FakeEngine(look)
    service.transcribe(engine)
    assert [item.get("text") for item in seen] == ["Hello world."] * 2 + [None, "Hello world."]
    assert [item.get("data_omitted") for item in seen] == [None, None, True, None]
