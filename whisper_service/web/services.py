"""What the routes need of the running service."""

import os
import threading
from typing import cast

from flask import current_app

from whisper_service.config import Config
from whisper_service.limits import FailureLimit, Turnstile
from whisper_service.storage import Storage
from whisper_service.worker import Worker


class Services:
    """The same for all requests: all of it is safe for threads."""

    def __init__(self, config: Config, storage: Storage, worker: Worker) -> None:
        self.config = config
        self.storage = storage
        self.worker = worker
        # A hash takes a core for a quarter of a second; other requests have to find a thread. So
        # there is room for one on each core, and for some who wait.
        self.hashing = Turnstile((os.cpu_count() or 1) + config.server.threads // 4)
        # So do requests that wait for something to happen.
        self.waiting = threading.Semaphore(config.server.threads // 2)
        self.failures_of_account = FailureLimit(config.auth.failures_per_account)
        self.failures_from_address = FailureLimit(config.auth.failures_per_address)


def services() -> Services:
    return cast("Services", current_app.extensions["services"])
