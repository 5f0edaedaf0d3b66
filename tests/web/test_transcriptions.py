import pytest

from tests.support.engine import FakeEngine
from tests.support.paths import DATA
from tests.support.service import Api, Service
from whisper_service import ids


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register()


@pytest.fixture
def file_uuid(service: Service, ann: Api) -> str:
    (answer,) = ann.upload(DATA / "austen-0880.wav")
    return answer["uuid"]


def test_a_request_is_queued_for_each_format(service: Service, ann: Api, file_uuid: str) -> None:
    formats = ["verbose_json", "srt", "vtt", "srt"]
    body = {"uuid": file_uuid, "model": "ggml-tiny.en", "language": "en", "format": formats}
    answer = ann.post("/transcribe", body)
    assert answer["message"] == "Transcription(s) queued successfully"
    queued = answer["transcriptions"]
    assert [item["format"] for item in queued] == formats[:3]
    assert {item["status"] for item in queued} == {"pending"}
    waiting = service.anyone.get(f"/transcribe/{queued[0]['uuid']}")
    assert waiting == {
        "uuid": queued[0]["uuid"],
        "file_uuid": file_uuid,
        "model": "ggml-tiny.en",
        "language": "en",
        "format": "verbose_json",
        "status": "pending",
        "processed_at": "1970-01-01 00:00:00",
        "data": None,
        "queue_position": 1,
        "eta_seconds": None,
    }


def test_the_result_is_public_by_either_uuid(service: Service, ann: Api, file_uuid: str) -> None:
    formats = ["verbose_json", "srt", "vtt"]
    body = {"uuid": file_uuid, "model": "ggml-tiny.en", "format": formats}
    queued = ann.post("/transcribe", body)["transcriptions"]
    service.work()
    listed = service.anyone.get(f"/transcribe/{file_uuid}")["transcriptions"]
    assert [item["uuid"] for item in listed] == [item["uuid"] for item in queued]
    assert listed[0]["data"]["text"] == "Hello world."
    assert listed[0]["language"] == "en"
    assert listed[0]["processed_at"] > "2026"
    assert listed[1]["data"]["text"].startswith("1\n00:00:00,000 --> ")
    assert listed[2]["data"]["text"].startswith("WEBVTT\n\n00:00:00.000 --> ")
    assert service.anyone.get(f"/transcribe/{queued[1]['uuid']}") == listed[1]
    assert len(service.engine.calls) == 1


def test_a_file_without_transcriptions_has_an_empty_list(service: Service, file_uuid: str) -> None:
    assert service.anyone.get(f"/transcribe/{file_uuid}") == {
        "transcriptions": [],
        "pagination": {"page": 1, "limit": 100, "total_count": 0, "total_pages": 0},
    }


def test_what_is_not_there_is_a_404(service: Service) -> None:
    message = service.anyone.error("GET", f"/transcribe/{ids.uuid7()}", 404)
    assert message == "Transcription not found"
    assert service.anyone.error("GET", "/transcribe/xyz", 400) == "Invalid UUID format"


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"uuid": None}, 400, "Missing file uuid"),
        ({"uuid": "x"}, 400, "Invalid UUID format"),
        ({"uuid": "0" * 32}, 404, "File not found or access denied"),
        ({"model": None}, 400, "Missing model"),
        ({"model": "x"}, 404, "Model not found: x"),
        ({"model": "../ggml-tiny.en"}, 404, "Model not found: ../ggml-tiny.en"),
        ({"format": "txt"}, 400, "Invalid format: txt. Must be one of: verbose_json, srt, vtt"),
        (
            {"format": ["srt", "txt"]},
            400,
            "Invalid format: txt. Must be one of: verbose_json, srt, vtt",
        ),
        ({"format": []}, 400, "At least one format must be specified"),
        ({"format": 5}, 400, "format must be a string or a list of strings"),
        ({"format": ["srt", None]}, 400, "format must be a string or a list of strings"),
        ({"language": "xx"}, 400, "Invalid language: xx"),
        ({"language": 1}, 400, "language must be a string"),
        ({"language": "de"}, 400, "Model ggml-tiny.en knows English only, not de"),
    ],
)
def test_a_bad_request_says_why(
    ann: Api, file_uuid: str, fields: dict, status: int, message: str
) -> None:
    body = {"uuid": file_uuid, "model": "ggml-tiny.en", **fields}
    assert ann.error("POST", "/transcribe", status, body) == message


def test_nobody_transcribes_anothers_file(service: Service, file_uuid: str) -> None:
    body = {"uuid": file_uuid, "model": "ggml-tiny.en"}
    message = service.register("bob").error("POST", "/transcribe", 404, body)
    assert message == "File not found or access denied"


def test_one_s_own_are_listed_newest_first(service: Service, ann: Api, file_uuid: str) -> None:
    (other,) = ann.upload(DATA / "jfk.wav")
    for uuid, formats in ((file_uuid, ["srt", "vtt"]), (other["uuid"], ["verbose_json"])):
        ann.post("/transcribe", {"uuid": uuid, "model": "ggml-tiny.en", "format": formats})
    answer = ann.get("/transcribe?limit=2")
    assert [row["format"] for row in answer["transcriptions"]] == ["verbose_json", "vtt"]
    assert answer["pagination"]["total_count"] == 3
    newest = answer["transcriptions"][0]
    assert newest["filename"] == "jfk.wav"
    assert (newest["status"], newest["queue_position"], newest["revision"]) == ("pending", 2, 0)
    service.work()
    assert [row["status"] for row in ann.get("/transcribe")["transcriptions"]] == 3 * ["completed"]
    ann.call("DELETE", f"/file/{file_uuid}")
    of_file = ann.get(f"/transcribe?file={file_uuid}")["transcriptions"]
    assert [(row["format"], row["filename"]) for row in of_file] == [("vtt", None), ("srt", None)]
    bob = service.register("bob")
    assert bob.get("/transcribe")["transcriptions"] == []
    assert bob.get(f"/transcribe?file={file_uuid}")["transcriptions"] == []
    assert ann.error("GET", "/transcribe?file=x", 400)
    assert service.anyone.error("GET", "/transcribe", 401)


def test_a_list_says_why_one_failed_and_how_far_another_is(
    service: Service, ann: Api, file_uuid: str
) -> None:
    body = {"uuid": file_uuid, "model": "ggml-tiny.en"}
    seen = []
    ann.post("/transcribe", body)
    service.convert_once()
    service.transcribe(FakeEngine(lambda: seen.append(ann.get("/transcribe"))))
    (running,) = seen[0]["transcriptions"]
    assert (running["status"], running["progress"]) == ("processing", 0)
    assert "text" not in running  # of many hours, a hundred times
    ann.post("/transcribe", {**body, "language": "en"})
    ann.call("DELETE", f"/file/{file_uuid}")
    (failed, _) = ann.get("/transcribe")["transcriptions"]
    assert (failed["status"], failed["error"]) == ("failed", "File deleted")
