"""The services that routes use."""

from typing import cast

from flask import current_app

from whisper_service.config import Config
from whisper_service.files.storage import Storage
from whisper_service.jobs.worker import Worker
from whisper_service.web.limits import ConcurrencyLimit, FailedLoginLimiter, RateLimit
from whisper_service.web.open_requests import OpenRequests
from whisper_service.web.rendering import Renderer


class Services:
    """Shared by all requests; every member is thread-safe."""

    def __init__(self, config: Config, storage: Storage, worker: Worker) -> None:
        self.config = config
        self.storage = storage
        self.worker = worker
        # A waiting request holds a thread. A client gets at most half of the places.
        threads, auth = config.server.threads, config.auth
        self.waiting = ConcurrencyLimit(threads // 2, threads // 4)
        self.detections = ConcurrencyLimit(threads // 2, threads // 4)
        self.registrations = RateLimit(auth.registrations_per_address, "Too many registrations")
        self.failures_from_address = FailedLoginLimiter(auth.failures_per_address)
        self.failures_of_account_from_address = FailedLoginLimiter(auth.failures_per_account)
        self.failures_of_account = FailedLoginLimiter(auth.failures_per_account_total)
        self.failures_of_credential = FailedLoginLimiter(auth.failures_per_account)
        self.renderer = Renderer()
        self.open_requests = OpenRequests()
        # One with the segments of many hours takes a second of the interpreter's lock.
        self.corrections = ConcurrencyLimit(total=2, per_key=1)


def services() -> Services:
    return cast("Services", current_app.extensions["services"])
