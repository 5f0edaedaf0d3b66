"""Errors for callers: an HTTP status and a sentence. Nothing else here depends on the web."""

from collections.abc import Mapping
from types import MappingProxyType


class ServiceError(Exception):
    """An expected failure. Its text is for the caller: no path, no internals."""

    status = 500
    code: str | None = None  # machine-readable
    retry_after: int | None = None  # seconds
    headers: Mapping[str, str] = MappingProxyType({})  # of the response, beside its own

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status or self.status


class InvalidRequest(ServiceError):
    status = 400


class Unauthenticated(ServiceError):
    status = 401


class Forbidden(ServiceError):
    status = 403


class NotFound(ServiceError):
    status = 404


class Conflict(ServiceError):
    status = 409


class RequestTimeout(ServiceError):
    status = 408


class TooLarge(ServiceError):
    status = 413


class TooManyRequests(ServiceError):
    """A limit was reached. Retry after `retry_after` seconds."""

    status = 429

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QuotaExceeded(ServiceError):
    """The token balance is insufficient. Retrying does not help."""

    status = 429
    code = "insufficient_quota"


class Unavailable(ServiceError):
    status = 503


class StorageFull(ServiceError):
    status = 507


class Cancelled(Exception):
    """The job was cancelled."""


class CommandError(Exception):
    """A failed command of `app.py`. Its text is one line that says what to do."""
