"""Who still waits for a transcription that requests share."""

import threading
from concurrent.futures import ThreadPoolExecutor

from flask import g

from tests.support.jobs import statuses, submit
from tests.support.service import Service
from whisper_service.jobs import abandoned
from whisper_service.jobs.orders import TranscriptionRequest
from whisper_service.models import catalog
from whisper_service.tables import File, Transcription, User
from whisper_service.web import speech
from whisper_service.web.open_requests import OpenRequests
from whisper_service.web.services import Services
from whisper_service.whisper.options import Options

RETRIED = {speech.RETRY_HEADER: "1"}


def services_of(service: Service) -> Services:
    found: Services = service.client.application.extensions["services"]
    return found


def join(service: Service, **headers: str) -> str:
    """Ask for the transcription of the only file, in a request of its own."""
    app = service.client.application
    model = catalog.find(service.settings.models.path, "ggml-tiny.en")
    with app.test_request_context(headers=headers):
        g.user = User.get()
        wanted = TranscriptionRequest(model, "auto", ["verbose_json"], Options())
        return speech.join(File.get().uuid, wanted)


def upload(service: Service) -> None:
    api = service.register()
    submit(service, api)
    Transcription.delete().execute()


def test_the_last_who_leaves_is_noticed() -> None:
    waiting = OpenRequests()
    waiting.join("a", is_queued_by_it=True)
    waiting.join("a", is_queued_by_it=False)
    assert not waiting.leave("a")
    assert waiting.leave("a")
    assert not waiting.leave("a")


def test_what_others_queued_is_not_theirs_to_end() -> None:
    waiting = OpenRequests()
    waiting.join("a", is_queued_by_it=False)
    assert not waiting.leave("a")


def test_it_goes_on_while_one_of_two_waits(service: Service) -> None:
    upload(service)
    uuid = join(service)
    assert join(service) == uuid
    speech.leave(services_of(service), uuid)
    assert statuses() == ["pending"]
    speech.leave(services_of(service), uuid)
    assert statuses() == ["failed"]
    assert join(service, **RETRIED) == uuid
    assert statuses() == ["pending"]
    assert join(service) == uuid


def test_one_that_is_left_is_not_joined_by_an_unrelated_request(service: Service) -> None:
    upload(service)
    uuid = join(service)
    speech.leave(services_of(service), uuid)
    assert join(service) != uuid
    assert statuses() == ["failed", "pending"]


def test_what_was_queued_otherwise_goes_on(service: Service) -> None:
    (uuid,) = submit(service, service.register(), language="auto")
    assert join(service) == uuid
    speech.leave(services_of(service), uuid)
    assert statuses() == ["pending"]


def test_the_end_of_the_service_ends_none(service: Service) -> None:
    upload(service)
    uuid = join(service)
    service.worker.begin_stop()
    speech.leave(services_of(service), uuid)
    assert statuses() == ["pending"]


def test_who_comes_while_the_last_one_leaves_gets_a_running_one(
    service: Service, monkeypatch
) -> None:
    """A repeated request that joined what is being abandoned would get an error."""
    upload(service)
    uuid = join(service)
    leaving = threading.Event()
    real = abandoned.abandon

    def slowly(uuid: str) -> None:
        leaving.set()
        threading.Event().wait(0.2)
        real(uuid)

    monkeypatch.setattr(abandoned, "abandon", slowly)

    def leave() -> None:
        speech.leave(services_of(service), uuid)

    with ThreadPoolExecutor(1) as pool:
        left = pool.submit(leave)
        leaving.wait(10)
        joined = join(service, **RETRIED)
        left.result()
    assert joined == uuid
    assert statuses() == ["pending"]
