"""What the routes need of the running service."""

import threading
from typing import cast

from flask import current_app

from whisper_service.config import Config
from whisper_service.limits import FailureLimit
from whisper_service.storage import Storage
from whisper_service.worker import Worker


class Services:
    """The same for all requests: all of it is safe for threads."""

    def __init__(self, config: Config, storage: Storage, worker: Worker) -> None:
        self.config = config
        self.storage = storage
        self.worker = worker
        # Requests that wait for something to happen hold a thread; others have to find one.
        self.waiting = threading.Semaphore(config.server.threads // 2)
        self.failures_of_account = FailureLimit(config.auth.failures_per_account)
        self.failures_from_address = FailureLimit(config.auth.failures_per_address)


def services() -> Services:
    return cast("Services", current_app.extensions["services"])
