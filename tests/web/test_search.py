"""Search over one's transcripts."""

import sqlite3
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.jobs import submit
from tests.support.paths import DATA
from tests.support.service import Api, Service
from whisper_service.db import database
from whisper_service.transcripts import search_words


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register()


def transcribe(service: Service, api: Api, name: str = "jfk.wav", **fields: Any) -> str:
    uuid = submit(service, api, DATA / name, **fields)[0]
    service.work()
    return uuid


def say(api: Api, uuid: str, *texts: str) -> None:
    """Correct a transcription of a recording that has a second for each text."""
    segments = [{"start": at, "end": at + 1, "text": text} for at, text in enumerate(texts)]
    revision = api.get(f"/transcribe/{uuid}")["revision"]
    api.call("PATCH", f"/transcribe/{uuid}", json={"segments": segments, "revision": revision})


def hits(api: Api, searched: str, **query: Any) -> list[dict[str, Any]]:
    answer = api.get("/search", query_string={"q": searched, **query})
    assert answer["pagination"]["total_count"] >= len(answer["hits"])
    found: list[dict[str, Any]] = answer["hits"]
    return found


def texts(api: Api, searched: str) -> set[str]:
    return {hit["text"] for hit in hits(api, searched)}


def indexed() -> tuple[int, int]:
    """Return the number of rows of both tables of the index."""
    ((segments,),) = database.execute_sql("SELECT count(*) FROM segment_search").fetchall()
    ((sets,),) = database.execute_sql("SELECT count(*) FROM searchable").fetchall()
    return sets, segments


def test_a_hit_says_where_it_is(service: Service, ann: Api) -> None:
    uuid = transcribe(service, ann)
    (file,) = ann.get("/file")["files"]
    assert ann.get("/search?q=WORLD") == {
        "hits": [
            {
                "transcription_uuid": uuid,
                "file_uuid": file["uuid"],
                "filename": "jfk.wav",
                "segment": 1,
                "start": 5.5,
                "end": 11.0,
                "text": "world.",
                "matches": [[0, 5]],
            }
        ],
        "pagination": {"page": 1, "limit": 10, "total_count": 1, "total_pages": 1},
    }


def test_only_one_s_own_are_found(service: Service, ann: Api) -> None:
    transcribe(service, ann)
    bob = service.register("bob")
    assert hits(bob, "world") == []
    assert hits(bob, "u1xworld") == []
    assert service.anyone.error("GET", "/search?q=world", 401)


def test_several_formats_of_one_transcript_are_one_hit(service: Service, ann: Api) -> None:
    uuids = submit(service, ann, format=["verbose_json", "srt", "vtt"])
    service.work()
    assert [hit["transcription_uuid"] for hit in hits(ann, "world")] == [uuids[-1]]


@pytest.mark.parametrize(
    ("text", "searched"),
    [
        ("Köln am Rhein", "koln"),
        ("Ko\u0308ln am Rhein", "KÖLN"),
        ("東京大学に行く", "大学"),
        ("大学", "東京大学 OR 大学"),
        ("ภาษาไทย", "ไทย"),
        ("서울대학교", "대학"),
        ("हिन्दी में", "हिन्दी"),
        ("Die Straße", "STRASSE"),
        ("İstanbul", "istanbul"),
        ("I don't know", "don't"),
        ("ﬁne", "fine"),
        ("transcription", "trans*"),
        ("one two three", '"two three"'),
        ("one two three", "three one"),
        ("one two three", "one -four"),
    ],
)
def test_scripts_and_operators(service: Service, ann: Api, text: str, searched: str) -> None:
    uuid = transcribe(service, ann)
    say(ann, uuid, text, "something else")
    (hit,) = hits(ann, searched)
    assert hit["text"] == text
    assert hit["matches"]


@pytest.mark.parametrize(
    "searched", ['"three two"', "one -two", "tw", "学大", "", " ", "_", "-one"]
)
def test_what_is_not_there(service: Service, ann: Api, searched: str) -> None:
    say(ann, transcribe(service, ann), "one two three", "東京大学")
    assert hits(ann, searched) == []


def test_matches_are_where_the_words_are(service: Service, ann: Api) -> None:
    say(ann, transcribe(service, ann), "𝄞 Bär, bar; Barren 大学")
    (hit,) = hits(ann, "bar* 大学")
    assert hit["matches"] == [[2, 5], [7, 10], [12, 18], [19, 21]]


def test_a_correction_takes_the_place_of_what_was_heard(service: Service, ann: Api) -> None:
    uuid = transcribe(service, ann)
    say(ann, uuid, "Good morning", "world.")
    assert hits(ann, "hello") == []
    assert [hit["segment"] for hit in hits(ann, "world")] == [1]
    say(ann, uuid, "Good evening")
    assert hits(ann, "morning") == []
    assert hits(ann, "world") == []
    assert texts(ann, "evening") == {"Good evening"}
    assert indexed() == (1, 1)


def test_the_original_is_found_while_another_shows_it(service: Service, ann: Api) -> None:
    one, other = submit(service, ann, format=["verbose_json", "srt"])
    service.work()
    say(ann, one, "Good morning world")
    found = {hit["transcription_uuid"]: hit["text"] for hit in hits(ann, "world")}
    assert found == {one: "Good morning world", other: "world."}
    ann.call("DELETE", f"/transcribe/{other}")
    assert texts(ann, "world") == {"Good morning world"}
    again = transcribe(service, ann, language="en")
    assert service.engine.calls == 2 * [("ggml-tiny.en.bin", "en")]
    ann.call("DELETE", f"/transcribe/{again}")
    assert indexed() == (1, 1)


def test_a_stored_transcript_is_found_again(service: Service, ann: Api) -> None:
    one = transcribe(service, ann)
    say(ann, one, "Good morning")
    again = transcribe(service, ann)
    assert len(service.engine.calls) == 1
    assert [hit["transcription_uuid"] for hit in hits(ann, "hello")] == [again]


def test_what_is_deleted_is_not_found(service: Service, ann: Api) -> None:
    kept, gone, corrected = (
        transcribe(service, ann, name) for name in ("jfk.wav", "austen-0880.wav", "austen-0890.wav")
    )
    say(ann, corrected, "Good morning")
    for uuid in (gone, corrected):
        ann.call("DELETE", f"/transcribe/{uuid}")
    assert [hit["transcription_uuid"] for hit in hits(ann, "hello")] == [kept]
    assert hits(ann, "morning") == []
    assert indexed() == (1, 2)
    ann.call("DELETE", "/user", json={"password": "Correct-Horse-9"})
    assert indexed() == (0, 0)


def test_a_deleted_recording_has_no_name(service: Service, ann: Api) -> None:
    transcribe(service, ann)
    (file,) = ann.get("/file")["files"]
    ann.call("DELETE", f"/file/{file['uuid']}")
    (hit,) = hits(ann, "hello")
    assert hit["filename"] is None


def test_the_best_come_first_then_the_newest(service: Service, ann: Api) -> None:
    say(ann, transcribe(service, ann), "the cat sat on the mat all day long", "cat", "cat", "dog")
    found = hits(ann, "cat")
    assert [hit["segment"] for hit in found] == [2, 1, 0]
    pages = [hits(ann, "cat", limit=2, page=page) for page in (1, 2, 3)]
    assert pages == [found[:2], found[2:], []]


def test_a_long_search_is_refused(ann: Api) -> None:
    assert ann.error("GET", f"/search?q={501 * 'a'}", 400) == "q must be at most 500 characters"


OPERATORS = st.sampled_from(
    ["-", '"', "(", ")", "*", " OR ", " AND ", " NOT ", ":", "^", "{", "a", "大"]
)


@settings(max_examples=300)
@given(st.lists(st.text() | OPERATORS, max_size=500).map(lambda parts: "".join(parts)[:500]))
def test_anything_that_can_be_typed_is_a_valid_search(searched: str) -> None:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE VIRTUAL TABLE found USING fts5 (words)")
        query = search_words.query(7, searched)
        connection.execute("SELECT * FROM found WHERE found MATCH ?", (query,)).fetchall()
        search_words.matches("a 大 b", search_words.phrases(searched))


@pytest.mark.parametrize("part", ["-a ", "(", '"', "a OR ", "a ", "(a ", "a NOT ", "大"])
def test_no_search_is_too_deep(service: Service, ann: Api, part: str) -> None:
    transcribe(service, ann)
    ann.get("/search", query_string={"q": ("a " + part * 500)[:500]})
