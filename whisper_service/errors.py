"""What can go wrong, as a status and a sentence for the caller. Knows nothing of the web."""


class ServiceError(Exception):
    """An expected failure. Its text is for the caller: no path, no internals."""

    status = 500
    code: str | None = None  # a word for it, for programs
    retry_after: int | None = None  # seconds

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
    """A limit that lets go after `retry_after` seconds."""

    status = 429

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class QuotaExceeded(ServiceError):
    """There are not enough tokens, and waiting brings none."""

    status = 429
    code = "insufficient_quota"


class Unavailable(ServiceError):
    status = 503


class StorageFull(ServiceError):
    status = 507


class Cancelled(Exception):
    """Nobody wants the result of a long work any more."""


class CommandError(Exception):
    """A failed command of `app.py`. Its text is one line that tells the person what to do."""
