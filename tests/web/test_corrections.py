"""Correcting transcripts."""

from typing import Any

import pytest

from tests.support.interleaving import after
from tests.support.jobs import submit
from tests.support.service import Api, Service
from whisper_service.jobs import orders
from whisper_service.tables import Correction, Searchable
from whisper_service.web.limits import ConcurrencyLimit

# What the fake engine hears in 11 seconds.
HEARD = [
    {"start": 0.0, "end": 5.5, "text": "Hello"},
    {"start": 5.5, "end": 11.0, "text": "world."},
]
WANTED = [
    {"start": 0.0, "end": 5.5, "text": "Hello"},
    {"start": 5.5, "end": 8.25, "text": "  wide\nworld, "},
    {"start": 8.25, "end": 11, "text": "<b>again</b> –"},
]


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register()


@pytest.fixture
def uuid(service: Service, ann: Api) -> str:
    (uuid,) = submit(service, ann)
    service.work()
    return uuid


def correct(ann: Api, uuid: str, segments: Any = None, revision: Any = 0) -> dict[str, Any]:
    body = {"segments": WANTED if segments is None else segments, "revision": revision}
    answer: dict[str, Any] = ann.call("PATCH", f"/transcribe/{uuid}", json=body).json
    return answer


def refused(ann: Api, uuid: str, segments: Any, revision: Any = 0, status: int = 400) -> str:
    body = {"segments": segments, "revision": revision}
    return ann.error("PATCH", f"/transcribe/{uuid}", status, body)


def shown(api: Api, uuid: str, query: str = "") -> list[dict[str, Any]]:
    data = api.get(f"/transcribe/{uuid}{query}")["data"]
    return [{name: each[name] for name in ("start", "end", "text")} for each in data["segments"]]


def test_all_formats_show_the_correction(service: Service, ann: Api, uuid: str) -> None:
    assert ann.get(f"/transcribe/{uuid}")["revision"] == 0
    assert correct(ann, uuid) == {
        "message": "Transcription corrected successfully",
        "uuid": uuid,
        "revision": 1,
    }
    answer = service.anyone.get(f"/transcribe/{uuid}")
    assert answer["revision"] == 1
    assert answer["data"]["text"] == "Hello wide world, <b>again</b> –"
    assert shown(ann, uuid)[1:] == [
        {"start": 5.5, "end": 8.25, "text": "wide world,"},
        {"start": 8.25, "end": 11.0, "text": "<b>again</b> –"},
    ]
    srt = ann.get(f"/transcribe/{uuid}?format=srt")["data"]["text"]
    assert "00:00:05,500 --> 00:00:08,250\nwide world," in srt
    vtt = ann.call("GET", f"/transcribe/{uuid}?format=vtt&download=true").text
    assert "&lt;b&gt;again&lt;/b&gt; –" in vtt


def test_the_original_stays(ann: Api, uuid: str) -> None:
    before = ann.get(f"/transcribe/{uuid}")["data"]
    correct(ann, uuid)
    original = ann.get(f"/transcribe/{uuid}?version=original")
    assert original["data"] == before
    assert original["revision"] == 1
    assert shown(ann, uuid, "?version=original") == HEARD
    assert shown(ann, uuid, "?version=corrected") == shown(ann, uuid)
    assert ann.error("GET", f"/transcribe/{uuid}?version=first", 400).startswith("version must be")
    correct(ann, uuid, HEARD, revision=1)
    assert ann.get(f"/transcribe/{uuid}")["data"] == before


def test_what_is_known_of_a_segment_stays_with_it(ann: Api, uuid: str) -> None:
    (hello, _) = ann.get(f"/transcribe/{uuid}")["data"]["segments"]
    correct(ann, uuid)
    same, changed, _ = ann.get(f"/transcribe/{uuid}")["data"]["segments"]
    assert same == hello
    assert (changed["tokens"], changed["language"]) == ([], "en")


def test_it_is_one_transcription_s(service: Service, ann: Api) -> None:
    one, other = submit(service, ann, format=["verbose_json", "srt"])
    service.work()
    correct(ann, one)
    (file,) = ann.get("/file")["files"]
    listed = ann.get(f"/transcribe/{file['uuid']}")["transcriptions"]
    texts = {each["uuid"]: each["data"]["text"] for each in listed}
    assert texts[one] == "Hello wide world, <b>again</b> –"
    assert "world." in texts[other]
    assert [each["revision"] for each in listed] == [1, 0]
    assert shown(ann, one) == shown(service.anyone, one)
    listed = ann.get(f"/transcribe/{file['uuid']}?version=original")["transcriptions"]
    assert [each["data"]["text"] for each in listed] == ["Hello world.", texts[other]]


def test_who_was_first_wins(ann: Api, uuid: str) -> None:
    correct(ann, uuid)
    text = refused(ann, uuid, HEARD, revision=0, status=409)
    assert text == "The transcription has revision 1 by now, not 0"
    assert refused(ann, uuid, HEARD, revision=2, status=409)
    assert correct(ann, uuid, HEARD, revision=1)["revision"] == 2


def test_of_two_at_once_one_wins(ann: Api, uuid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    after(monkeypatch, orders, "load", lambda: correct(ann, uuid, WANTED))
    # This one began first, and is stored last.
    monkeypatch.setattr(ConcurrencyLimit, "acquire", lambda *_: True)
    assert refused(ann, uuid, HEARD, status=409).startswith("The transcription has revision 1")
    assert ann.get(f"/transcribe/{uuid}")["revision"] == 1
    assert len(shown(ann, uuid)) == 3


def test_one_that_is_deleted_meanwhile_stays_deleted(
    ann: Api, uuid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    after(monkeypatch, orders, "load", lambda: ann.call("DELETE", f"/transcribe/{uuid}"))
    assert refused(ann, uuid, HEARD, status=404)
    assert (Correction.select().count(), Searchable.select().count()) == (0, 0)


def test_a_user_stores_one_at_a_time(ann: Api, uuid: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    after(monkeypatch, orders, "load", lambda: seen.append(refused(ann, uuid, HEARD, status=429)))
    assert correct(ann, uuid)["revision"] == 1
    assert seen == ["The server is storing other corrections. Try again in a second"]


def test_it_is_the_owner_s(service: Service, ann: Api, uuid: str) -> None:
    assert refused(service.register("bob"), uuid, HEARD, status=404)
    assert refused(service.anyone, uuid, HEARD, status=401)
    assert refused(ann, 32 * "0", HEARD, status=404)
    assert ann.get(f"/transcribe/{uuid}")["revision"] == 0


def test_only_what_is_completed_can_be_corrected(service: Service, ann: Api) -> None:
    (uuid,) = submit(service, ann)
    assert refused(ann, uuid, HEARD, status=409) == "The transcription is pending"


def test_nothing_may_be_left(ann: Api, uuid: str) -> None:
    correct(ann, uuid, [])
    answer = ann.get(f"/transcribe/{uuid}")
    assert (answer["data"]["text"], answer["data"]["segments"]) == ("", [])


@pytest.mark.parametrize(
    ("segments", "error"),
    [
        ("no list", "segments must be a list"),
        ([7], "segments[0] must be an object with start, end and text"),
        ([{"start": 0, "end": 1}], "segments[0] must have start, end and text"),
        ([{"start": True, "end": 1, "text": "a"}], "segments[0].start must be a number"),
        ([{"start": -1, "end": 1, "text": "a"}], "segments[0].start must be non-negative"),
        ([{"start": 0, "end": 1e300, "text": "a"}], "segments[0].end must be at most 1000000000"),
        ([{"start": 0, "end": 1, "text": 7}], "segments[0].text must be a string"),
        ([{"start": 0, "end": 1, "text": "\ud800"}], "segments[0].text must be valid text"),
        ([{"start": 0, "end": 1, "text": " \n"}], "segments[0] has no text"),
        ([HEARD[0], {"start": 5.499, "end": 6, "text": "a"}],
         "segments[1] starts before the one before it ends"),
        ([HEARD[0], {"start": 6, "end": 6, "text": "a"}],
         "segments[1] must end after it starts"),
        ([HEARD[0], {"start": 6, "end": 11.001, "text": "a"}],
         "segments[1] ends after the recording, which has 11.0 seconds"),
    ],
)  # fmt: skip
def test_a_bad_segment_is_named(ann: Api, uuid: str, segments: Any, error: str) -> None:
    assert refused(ann, uuid, segments) == error
    assert shown(ann, uuid) == HEARD


@pytest.mark.parametrize("revision", [None, -1, 1.5, "0", True, 2**60])
def test_a_bad_revision_is_refused(ann: Api, uuid: str, revision: Any) -> None:
    assert "revision" in refused(ann, uuid, HEARD, revision)


def test_the_segments_of_many_hours_are_taken(service: Service, ann: Api, uuid: str) -> None:
    parts = 20_000
    segments = [
        {"start": number * 11 / parts, "end": (number + 1) * 11 / parts, "text": f"word {number} "}
        for number in range(parts)
    ]
    segments[-1]["end"] = 11
    assert correct(ann, uuid, segments)["revision"] == 1
    assert len(service.anyone.get(f"/transcribe/{uuid}")["data"]["segments"]) == parts
    assert ann.get("/search?q=word+19999")["pagination"]["total_count"] == 1
    segments[0]["text"] = "x" * 4 * 1024**2
    assert refused(ann, uuid, segments, 1, status=413)
