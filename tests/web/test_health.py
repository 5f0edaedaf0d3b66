"""`GET /health`: 200 while the service works, 503 with a sentence when a part of it does not."""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.engine import FakeEngine
from tests.support.jobs import submit
from tests.support.service import Service
from tests.support.waiting import until
from whisper_service import db
from whisper_service.errors import Cancelled
from whisper_service.jobs import queue, threads
from whisper_service.tables import Transcription
from whisper_service.whisper import engine
from whisper_service.whisper.engine import Engine


def sick(service: Service) -> str:
    """Wait for the service to say that it is not well, and return its sentence."""
    answers: list[str] = []

    def asked() -> bool:
        response = service.client.get("/api/v1/health")
        assert response.status_code in {200, 503}
        if response.status_code == 503:
            answers.append(response.text)
        return bool(answers)

    until(asked)
    return answers[0]


@pytest.fixture
def held(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Run the worker with an engine that does not answer before the event."""
    event, asked = threading.Event(), threading.Event()

    def wait() -> None:
        asked.set()
        assert event.wait(60)

    monkeypatch.setattr(threads, "POLL_INTERVAL", 0.05)
    submit(service, service.register())
    service.worker.engines = [FakeEngine(wait)]  # type: ignore[list-item]
    service.worker.start()
    assert asked.wait(20)
    yield event
    event.set()


def test_a_service_is_well_at_work_and_at_rest(service: Service, held: threading.Event) -> None:
    assert service.anyone.get("/health") == {"status": "ok"}
    held.set()
    until(lambda: Transcription.get().status == "completed")
    assert service.anyone.get("/health") == {"status": "ok"}


def test_a_worker_thread_that_is_stuck_is_reported(
    service: Service, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "MAX_SILENCE", 1)
    assert sick(service) == "The worker is stuck"
    held.set()
    until(lambda: service.client.get("/api/v1/health").status_code == 200)


def test_a_worker_thread_that_ended_is_reported(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end() -> bool:
        raise SystemExit

    monkeypatch.setattr(queue, "complete_stored", end)
    service.worker.start()
    assert sick(service) == "The worker is stuck"


def test_an_engine_that_takes_too_long_is_reported(
    service: Service, stub_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "PROGRAM", [sys.executable, "-c", "import time; time.sleep(60)"])
    monkeypatch.setattr(engine, "LATE_SHARE", 0.01)
    wanted = threading.Event()
    wanted.set()
    slow = Engine()
    service.worker.engines = [slow]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(slow.ask, stub_models, {}, 60, wanted.is_set)
        assert sick(service) == "An engine is stuck"
        wanted.clear()
        assert isinstance(asked.exception(20), Cancelled)
    assert service.anyone.get("/health") == {"status": "ok"}


def test_without_its_database_a_service_is_not_well(service: Service) -> None:
    db.database.execute_sql("ALTER TABLE user RENAME TO nobody")
    service.anyone.error("GET", "/health", 500)


def test_a_request_that_waited_is_not_watched_as_a_worker_thread(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(service.worker.changes.wait_for_change, 0.01).result(20)
    monkeypatch.setattr(threads, "MAX_SILENCE", -1)  # whoever was ever seen is late
    assert service.anyone.get("/health") == {"status": "ok"}
