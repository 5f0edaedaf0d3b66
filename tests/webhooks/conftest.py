"""A service that may send to this machine, a sender whose time tests set, and a receiver."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.receiver import Receiver, receiving
from tests.support.service import Service, settings_in
from tests.support.webhooks import Clock
from whisper_service.config import Config, WebhooksSettings
from whisper_service.webhooks.sender import Sender


@pytest.fixture
def settings(tmp_path: Path, stub_models: Path) -> Config:
    webhooks = WebhooksSettings(enabled=True, allow_private=True)
    return replace(settings_in(tmp_path, stub_models), webhooks=webhooks)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sender(service: Service, clock: Clock) -> Iterator[Sender]:
    sender = Sender(service.settings.webhooks, service.worker.changes, clock)
    yield sender
    sender.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver
