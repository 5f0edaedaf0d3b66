"""Queue position, progress, text so far and ETA, by polling, waiting and events."""

import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tests.support.engine import FakeEngine
from tests.support.ffmpeg import run_ffmpeg
from tests.support.paths import DATA
from tests.support.service import Api, Service


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register()


@pytest.fixture
def short(ann: Api) -> str:
    return ann.upload(DATA / "austen-0880.wav")[0]["uuid"]


def order(api: Api, file: str, **fields: object) -> str:
    body = {"uuid": file, "model": "ggml-tiny.en", **fields}
    return api.post("/transcribe", body)["transcriptions"][0]["uuid"]


def test_who_waits_sees_their_place(service: Service, ann: Api, short: str) -> None:
    (other,) = ann.upload(DATA / "jfk.wav")
    first, again, second = (order(ann, uuid) for uuid in (short, short, other["uuid"]))
    places = {uuid: service.anyone.get(f"/transcribe/{uuid}") for uuid in (first, again, second)}
    assert [place["queue_position"] for place in places.values()] == [1, 1, 2]
    assert places[second]["eta_seconds"] is None
    service.work()
    third = order(ann, short, language="en")
    answer = service.anyone.get(f"/transcribe/{third}")
    assert answer["queue_position"] == 1
    assert answer["eta_seconds"] >= 1
    assert "queue_position" not in service.anyone.get(f"/transcribe/{first}")


def test_a_running_one_tells_how_far_it_is_and_what_was_said(
    service: Service, ann: Api, tmp_path
) -> None:
    run_ffmpeg("-stream_loop", "3", "-i", DATA / "jfk.wav", tmp_path / "talk.mp3")
    (file,) = ann.upload(tmp_path / "talk.mp3")
    uuid = order(ann, file["uuid"])
    seen: list[dict[str, Any]] = []
    service.convert_once()
    look = lambda: seen.append(service.anyone.get(f"/transcribe/{uuid}"))  # noqa: E731
    service.transcribe(FakeEngine(look))
    assert {answer["status"] for answer in seen} == {"processing"}
    assert [answer["progress"] for answer in seen] == sorted(
        {answer["progress"] for answer in seen}
    )
    assert (seen[0]["progress"], seen[0]["text"], seen[0]["eta_seconds"]) == (0, "", None)
    assert 50 < seen[-1]["progress"] < 100
    assert seen[-1]["text"] == " ".join(["Hello world."] * (len(seen) - 1))
    assert seen[-1]["eta_seconds"] >= 1
    final = service.anyone.get(f"/transcribe/{uuid}")
    assert "progress" not in final
    assert "text" not in final


def later(step: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(0.3, step)
    timer.start()
    return timer


def fresh(service: Service) -> Api:
    """A client for another thread."""
    return replace(service.anyone, client=service.client.application.test_client())


def test_waiting_ends_when_the_status_changes(service: Service, ann: Api, short: str) -> None:
    uuid = order(ann, short)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(fresh(service).get, f"/transcribe/{uuid}?wait=30")
        service.convert_once()
        assert not waiting.done()
        service.transcribe(service.engine)
        assert waiting.result(10)["status"] in {"processing", "completed"}
    assert service.anyone.get(f"/transcribe/{uuid}?wait=30")["status"] == "completed"


def test_waiting_ends_after_its_time(service: Service, ann: Api, short: str) -> None:
    uuid = order(ann, short)
    started = time.monotonic()
    assert service.anyone.get(f"/transcribe/{uuid}?wait=1")["status"] == "pending"
    assert time.monotonic() - started >= 1


def source(address: str) -> dict[str, Any]:
    return {"environ_overrides": {"REMOTE_ADDR": address}}


def take_places(service: Service, uuid: str, address: str) -> list[Any]:
    """Open as many streams as an address gets, and return them."""
    streams: list[Any] = []
    while True:
        path = f"/api/v1/transcribe/{uuid}/events"
        answer = service.client.get(path, **source(address))
        if answer.status_code == 429:
            assert answer.text == "Too many requests are waiting. Ask for the status instead"
            assert answer.headers["Retry-After"] == "5"
            return streams
        streams.append(answer)


def test_waiting_clients_are_limited_in_all_and_per_network(
    service: Service, ann: Api, short: str
) -> None:
    uuid = order(ann, short)
    half = service.settings.server.threads // 4
    streams = take_places(service, uuid, "2001:db8::1")
    assert len(streams) == half
    assert not take_places(service, uuid, "2001:db8::2")
    streams += take_places(service, uuid, "192.0.2.1")
    assert len(streams) == 2 * half
    assert not take_places(service, uuid, "192.0.2.2")
    answer = service.anyone.get(f"/transcribe/{uuid}?wait=60", **source("192.0.2.2"))
    assert answer["status"] == "pending"
    streams.pop().close()
    assert len(take_places(service, uuid, "192.0.2.2")) == 1
    for stream in streams:
        stream.close()


def test_waiting_takes_no_place_from_openais_clients(
    service: Service, ann: Api, short: str
) -> None:
    uuid = order(ann, short)
    streams = [
        stream for number in range(3) for stream in take_places(service, uuid, f"192.0.2.{number}")
    ]
    openai = replace(ann, prefix="/v1")
    form = {"data": {"model": "ggml-tiny.en"}, "content_type": "multipart/form-data"}
    answer = openai.call("POST", "/audio/transcriptions", expect=400, **form)
    assert answer.json["error"]["message"] == "Missing file"
    for stream in streams:
        stream.close()


@pytest.mark.parametrize("wait", ["0", "61", "x", "-1", "1.5"])
def test_an_invalid_wait_is_refused(service: Service, ann: Api, short: str, wait: str) -> None:
    uuid = order(ann, short)
    message = service.anyone.error("GET", f"/transcribe/{uuid}?wait={wait}", 400)
    assert message == "wait must be an integer between 1 and 60"


def test_events_tell_each_change_until_the_end(service: Service, ann: Api, short: str) -> None:
    uuid = order(ann, short)
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(fresh(service).call, "GET", f"/transcribe/{uuid}/events")
        service.convert_once()
        service.transcribe(service.engine)
        response = stream.result(20)
    assert response.content_type == "text/event-stream; charset=utf-8"
    events = [event.split("\n") for event in response.text.strip().split("\n\n")]
    assert {lines[0] for lines in events} == {"event: status"}
    answers = [json.loads(lines[1].removeprefix("data: ")) for lines in events]
    assert answers[0]["status"] == "pending"
    assert answers[-1]["data"]["text"] == "Hello world."
    assert answers[-1] == service.anyone.get(f"/transcribe/{uuid}")


def test_events_end_with_a_deletion_and_free_their_place(
    service: Service, ann: Api, short: str
) -> None:
    uuid = order(ann, short)
    places = service.client.application.extensions["services"].waiting
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(fresh(service).call, "GET", f"/transcribe/{uuid}/events")
        later(
            lambda: replace(ann, client=fresh(service).client).call("DELETE", f"/transcribe/{uuid}")
        )
        assert stream.result(20).text.count("event: status") == 1
    assert not places._held
    assert (
        service.anyone.error("GET", f"/transcribe/{uuid}/events", 404) == "Transcription not found"
    )
    assert service.anyone.call("HEAD", f"/transcribe/{order(ann, short)}/events").data == b""
