"""What it takes to look at long transcripts, and how much of it one caller may have."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tests.support.paths import DATA
from tests.support.service import Api, Service
from tests.support.transcripts import finish, transcript
from tests.support.waiting import until
from whisper_service.tables import StoredTranscript
from whisper_service.transcripts.cues import Layout
from whisper_service.transcripts.formats import FORMATS
from whisper_service.transcripts.transcript import Transcript
from whisper_service.web import rendering
from whisper_service.web.rendering import BUSY, LARGE_BYTES, Renderer, ResultKey

LONG = transcript("word " * 60, LARGE_BYTES // 300)
SHORT = transcript("Hello.")


class Gate:
    """A renderer of subtitles that waits until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.open = threading.Event()
        self.calls = 0

    def render(self, made: Transcript, layout: Layout) -> dict[str, Any]:
        self.calls += 1
        self.entered.release()
        assert self.open.wait(20)
        return FORMATS["vtt"].render(made, layout)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setitem(FORMATS, "srt", replace(FORMATS["srt"], render=gate.render))
    yield gate
    gate.open.set()


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register()


@pytest.fixture
def file_uuid(ann: Api) -> str:
    return ann.upload(DATA / "austen-0880.wav")[0]["uuid"]


def look(service: Service, path: str, address: str = "127.0.0.1") -> Any:
    """Ask as a client of its own, which may be in another thread."""
    return service.client.application.test_client().get(
        f"/api/v1/transcribe/{path}", environ_overrides={"REMOTE_ADDR": address}
    )


@pytest.mark.parametrize("query", ["", "?format=txt", "?format=verbose_json&download=1"])
def test_a_result_is_rendered_once(service: Service, file_uuid: str, query: str) -> None:
    (uuid,) = finish(file_uuid, SHORT)
    first = look(service, uuid + query)
    assert "Hello." in first.text
    StoredTranscript.update(data=transcript("Bye.").to_json()).execute()
    assert look(service, uuid + query).data == first.data
    assert "Bye." in look(service, f"{uuid}?format=lrc").text


def test_json_is_rendered_once_for_all_layouts(service: Service, file_uuid: str) -> None:
    (uuid,) = finish(file_uuid, SHORT, format_name="verbose_json")
    first = look(service, f"{uuid}?max_line_width=10")
    StoredTranscript.update(data=transcript("Bye.").to_json()).execute()
    assert look(service, f"{uuid}?max_line_width=11").data == first.data


def test_long_transcripts_are_rendered_by_few_threads_at_once(
    service: Service, file_uuid: str, gate: Gate
) -> None:
    (long,) = finish(file_uuid, LONG)
    (short,) = finish(file_uuid, SHORT, format_name="vtt")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(look, service, long, "2001:db8::1")
        assert gate.entered.acquire(timeout=20)
        for path in (f"{long}?max_line_width=9", f"{long}?format=vtt", long, f"{long}?download=1"):
            refused = look(service, path, "2001:db8::2")
            assert (refused.status_code, refused.text) == (429, BUSY)
            assert refused.headers["Retry-After"] == "1"
        assert look(service, file_uuid, "2001:db8::2").status_code == 429
        assert look(service, short, "2001:db8::2").status_code == 200
        second = pool.submit(look, service, long, "192.0.2.1")
        until_taken(service, 2)
        assert look(service, f"{long}?format=vtt", "192.0.2.2").status_code == 429
        gate.open.set()
        assert first.result().data == second.result().data
    assert gate.calls == 1
    assert look(service, long, "192.0.2.2").data == first.result().data


def until_taken(service: Service, places: int) -> None:
    """Wait until a second request has its place, and waits there for the first one."""
    renderer = service.client.application.extensions["services"].renderer
    until(lambda: renderer._places._held.total() >= places)


def test_a_client_that_waited_for_the_end_gets_the_result(
    service: Service, ann: Api, file_uuid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever holds a place for waiting is one of a few, and gets what they waited for."""
    monkeypatch.setattr(rendering, "LARGE_BYTES", 1)
    order = {"uuid": file_uuid, "model": "ggml-tiny.en"}
    uuid = ann.post("/transcribe", order)["transcriptions"][0]["uuid"]
    places = service.client.application.extensions["services"].renderer._places
    assert places.acquire("somebody")
    assert places.acquire("somebody else")
    stream = look(service, f"{uuid}/events")
    service.work()
    assert "Hello world." in stream.text
    places.release("somebody")


def test_the_same_result_is_rendered_once_by_many(gate: Gate) -> None:
    renderer, key = Renderer(), ResultKey(1, None, "srt", Layout())
    gate.open.set()
    for data in (SHORT.to_json(), LONG.to_json()):
        key = key._replace(transcript_id=key.transcript_id + 1)
        gate.calls, start = 0, threading.Barrier(8)

        def ask(data: str = data, key: ResultKey = key, start: Any = start) -> bytes:
            start.wait(10)
            return renderer.render({key: data}, None)[key].data

        with ThreadPoolExecutor(8) as pool:
            results = [pool.submit(ask) for _ in range(8)]
            assert len({result.result() for result in results}) == 1
        assert gate.calls == 1


def test_what_is_kept_is_bounded() -> None:
    renderer = Renderer(capacity=10_000)
    keys = [ResultKey(number, None, "json", Layout()) for number in range(100)]
    for key in keys:
        renderer.render({key: transcript("x" * 1000).to_json()}, None)
        renderer.cached(keys[0])  # what is asked for stays
    kept = [key for key in keys if renderer.cached(key)]
    assert kept == [keys[0], *keys[-8:]]
    large = keys[1]
    assert renderer.render({large: transcript("x" * 10_000).to_json()}, None)[large].text
    assert renderer.cached(large) is None
    assert [key for key in keys if renderer.cached(key)] == kept
