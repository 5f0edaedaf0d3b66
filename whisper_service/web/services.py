"""What the routes need of the running service."""

import os
from typing import cast

from flask import current_app

from whisper_service.config import Config
from whisper_service.limits import ConcurrencyLimit, FailedLoginLimiter, RateLimit, Turnstile
from whisper_service.storage import Storage
from whisper_service.web.rendering import Renderer
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
        # A request that waits for something to happen holds a thread meanwhile. One address gets
        # half of the places, and there are others for /v1, so that nobody takes them all.
        threads, auth = config.server.threads, config.auth
        self.waiting = ConcurrencyLimit(threads // 2, threads // 4)
        self.transcribing = ConcurrencyLimit(threads // 4, max(1, threads // 8))
        self.registrations = RateLimit(auth.registrations_per_address, "Too many registrations")
        self.failures_from_address = FailedLoginLimiter(auth.failures_per_address)
        self.failures_of_account_from_address = FailedLoginLimiter(auth.failures_per_account)
        self.failures_of_account = FailedLoginLimiter(auth.failures_per_account_total)
        self.failures_of_credential = FailedLoginLimiter(auth.failures_per_account)
        self.renderer = Renderer()


def services() -> Services:
    return cast("Services", current_app.extensions["services"])
