"""The threads that deliver messages."""

import logging
import time
from collections.abc import Callable
from functools import partial

from whisper_service.config import Config, WebhooksSettings
from whisper_service.errors import Cancelled
from whisper_service.files.storage import Storage
from whisper_service.jobs.changes import ChangeNotifier
from whisper_service.jobs.threads import WorkerThreads
from whisper_service.jobs.worker import Worker
from whisper_service.tables import WebhookEndpoint, WebhookMessage
from whisper_service.webhooks import delivery, outbox
from whisper_service.webhooks.cancellation import Cancellation
from whisper_service.webhooks.outbox import Outcome
from whisper_service.webhooks.turns import Turns

THREADS = 4
MAX_FAILING = 2
# Not every change is announced.
POLL_INTERVAL = 2.0  # seconds

logger = logging.getLogger(__name__)


def start(config: Config, storage: Storage, worker: Worker) -> Callable[[], None]:  # noqa: ARG001
    """Start to deliver; return what ends it."""
    sender = Sender(config.webhooks, worker.changes)
    sender.start()
    return sender.stop


class Sender:
    """Delivers what is due. Its step can be called, or repeated by its threads.

    What is being sent is known in memory alone: after a kill it is sent again.
    """

    def __init__(
        self,
        settings: WebhooksSettings,
        changes: ChangeNotifier,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._changes = changes
        self._clock = clock
        self._turns = Turns(MAX_FAILING)
        self._cancellation = Cancellation()
        self._threads = WorkerThreads(THREADS)

    def start(self) -> None:
        for _ in range(THREADS):
            self._threads.repeat(self._send_or_wait, None)

    def stop(self) -> None:
        """End all attempts as if they had not begun, and return when they have ended."""
        self._threads.begin_stop()
        self._changes.notify()
        self._cancellation.cancel()
        self._threads.join()

    def send_once(self) -> bool:
        """Make one attempt, if any is due. Return whether there was one."""
        with self._turns.take(self._clock()) as endpoint:
            if endpoint is None:
                return False
            if message := outbox.next_message(endpoint.id, self._clock()):
                self._attempt(endpoint, message)
        return True

    def _send_or_wait(self) -> bool:
        return self.send_once() or self._changes.wait_for_change(POLL_INTERVAL)

    def _attempt(self, endpoint: WebhookEndpoint, message: WebhookMessage) -> None:
        try:
            outcome = delivery.deliver(
                endpoint,
                message,
                int(self._clock()),
                allow_private=self._settings.allow_private,
                cancellation=self._cancellation,
            )
        except Cancelled:
            return
        self._threads.keep(partial(self._record, endpoint, message, outcome))

    def _record(self, endpoint: WebhookEndpoint, message: WebhookMessage, outcome: Outcome) -> None:
        disabled = outbox.record(message, outcome, self._clock())
        if not outcome.is_success:
            why = outcome.error or outcome.http_status
            logger.info("Webhook %s: attempt %d: %s", endpoint.uuid, message.attempts + 1, why)
        if disabled:
            logger.warning("Webhook %s is disabled: %s", endpoint.uuid, disabled)
