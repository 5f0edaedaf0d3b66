"""Webhooks of a service in this process."""

import time
from dataclasses import dataclass
from typing import Any

from tests.support.service import Api
from whisper_service import ids
from whisper_service.db import write_transaction
from whisper_service.tables import WebhookEndpoint, WebhookMessage
from whisper_service.webhooks.sender import Sender

DAY = 24 * 3600
# The environment of a real service that may send to this machine.
ON = {
    "WHISPER_SERVICE_WEBHOOKS_ENABLED": "true",
    "WHISPER_SERVICE_WEBHOOKS_ALLOW_PRIVATE": "true",
}


@dataclass
class Clock:
    """The time, and how many seconds a test is ahead of it."""

    ahead: float = 0

    def __call__(self) -> float:
        return time.time() + self.ahead


def create(api: Api, url: str) -> Any:
    return api.post("/webhook", {"url": url})


def show(api: Api, hook: Any) -> Any:
    return api.get(f"/webhook/{hook['uuid']}")


def send_test(api: Api, hook: Any) -> str:
    return api.post(f"/webhook/{hook['uuid']}/test")["message_uuid"]


def send_all(sender: Sender) -> int:
    """Make all attempts that are due, and return how many there were."""
    number = 0
    while sender.send_once():
        number += 1
    return number


def add_messages(hook: Any, number: int, due_at: int = 0) -> None:
    """Write messages as the trigger does."""
    endpoint = WebhookEndpoint.get(WebhookEndpoint.uuid == hook["uuid"])
    with write_transaction():
        for _ in range(number):
            WebhookMessage.create(
                uuid=ids.uuid7(),
                endpoint_id=endpoint.id,
                type="transcription.completed",
                transcription_uuid=ids.uuid7(),
                created_at=due_at,
                due_at=due_at,
            )
