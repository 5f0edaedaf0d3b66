"""Faults in the delivery of webhooks."""

import time
from collections.abc import Callable
from typing import Any

from whisper_service.db import write_transaction
from whisper_service.tables import WebhookEndpoint, WebhookMessage
from whisper_service.webhooks import delivery
from whisper_service.webhooks.outbox import Outcome


def forget_before_sending() -> None:
    deliver = delivery.deliver

    def forgetful(
        endpoint: WebhookEndpoint, message: WebhookMessage, *more: Any, **how: Any
    ) -> Outcome:
        with write_transaction():
            WebhookMessage.delete().where(WebhookMessage.id == message.id).execute()
        time.sleep(0.3)
        return deliver(endpoint, message, *more, **how)

    delivery.deliver = forgetful


FAULTS: dict[str, Callable[[], None]] = {"messages forgotten before": forget_before_sending}
