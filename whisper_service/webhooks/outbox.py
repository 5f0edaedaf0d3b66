"""The messages that wait, and what becomes of them."""

import json
import random
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

from peewee import SQL, fn

from whisper_service.db import write_transaction
from whisper_service.tables import WebhookAttempt, WebhookEndpoint, WebhookMessage

MINUTE, HOUR = 60, 3600
# Seconds from each failed attempt to the next; three days in all. After the last one the message is
# given up. Up to a tenth is added, so that what failed together is not retried together.
DELAYS = (
    *(5, MINUTE, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR),
    *(20 * HOUR, 21 * HOUR),
)
JITTER = 0.1
MAX_RETRY_AFTER = 24 * HOUR
# What a user can look at of each endpoint.
MAX_ATTEMPTS = 100
GONE = 410


@dataclass(frozen=True)
class Outcome:
    """The end of an attempt: an HTTP status, or else a word for why there is none.

    `retry_after` are the seconds that the receiver asks for.
    """

    http_status: int | None = None
    error: str | None = None
    retry_after: int = 0

    @property
    def is_success(self) -> bool:
        return self.http_status is not None and 200 <= self.http_status < 300


def next_endpoint(
    now: float, busy_users: Collection[int], *, only_healthy: bool
) -> WebhookEndpoint | None:
    """Return the endpoint whose turn it is, of those with a message that is due.

    That is one of the user whose last turn was the longest time ago. `only_healthy` excludes those
    whose last attempt failed.
    """
    due = WebhookMessage.select().where(
        WebhookMessage.endpoint_id == WebhookEndpoint.id, WebhookMessage.due_at <= now
    )
    waiting = WebhookEndpoint.select().where(
        SQL("waiting > 0 AND disabled_reason IS NULL"),  # as in the index webhook_endpoint_by_turn
        WebhookEndpoint.user_id.not_in(list(busy_users)),
        fn.EXISTS(due),
        *([WebhookEndpoint.failing_since == 0] if only_healthy else []),
    )
    first: WebhookEndpoint | None = waiting.order_by(WebhookEndpoint.turn).first()
    return first


def next_message(endpoint_id: int, now: float) -> WebhookMessage | None:
    """Return the message of an endpoint that has been due for the longest time."""
    due = WebhookMessage.select().where(
        WebhookMessage.endpoint_id == endpoint_id, WebhookMessage.due_at <= now
    )
    first: WebhookMessage | None = due.order_by(WebhookMessage.due_at, WebhookMessage.id).first()
    return first


def body(message: WebhookMessage) -> bytes:
    content = {
        "type": message.type,
        "timestamp": datetime.fromtimestamp(message.created_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "data": _data(message) if message.transcription_uuid else {},
    }
    return json.dumps(content, separators=(",", ":")).encode()


def _data(message: WebhookMessage) -> dict[str, str | None]:
    return {
        "uuid": message.transcription_uuid,
        "file_uuid": message.file_uuid,
        "format": message.format,
        "model": message.model,
        "status": message.type.rpartition(".")[2],
        "error_code": message.error_code,
    }


def record(message: WebhookMessage, outcome: Outcome, now: float) -> str | None:
    """Record an attempt, and remove the message if it is delivered or given up.

    Returns why the endpoint was disabled, if it was: the receiver is gone, or nothing got through
    during all attempts of a message that is given up now.
    """
    with write_transaction():
        endpoint = WebhookEndpoint.get_or_none(WebhookEndpoint.id == message.endpoint_id)
        if endpoint is None:
            return None  # its messages were deleted with it
        next_at = _next_attempt(message, outcome, int(now))
        _log_attempt(message, outcome, int(now), next_at)
        _reschedule(message, next_at)
        _end_turn(endpoint, now)
        return _rate(endpoint, outcome, int(now), given_up=not next_at)


def _rate(endpoint: WebhookEndpoint, outcome: Outcome, now: int, *, given_up: bool) -> str | None:
    """Note how the endpoint does; return why it was disabled, if it was."""
    since = 0 if outcome.is_success else endpoint.failing_since or now
    reason = endpoint.disabled_reason
    if outcome.http_status == GONE:
        reason = reason or "gone"
    elif since and given_up and since <= now - sum(DELAYS):
        reason = reason or "failing"
    WebhookEndpoint.update(failing_since=since, disabled_reason=reason).where(
        WebhookEndpoint.id == endpoint.id
    ).execute()
    return None if endpoint.disabled_reason else reason


def _end_turn(endpoint: WebhookEndpoint, now: float) -> None:
    """Put the user's endpoints last, and this one after them."""
    turn = int(now * 1000) + (WebhookEndpoint.id == endpoint.id)
    WebhookEndpoint.update(turn=turn).where(WebhookEndpoint.user_id == endpoint.user_id).execute()


def _next_attempt(message: WebhookMessage, outcome: Outcome, now: int) -> int:
    """Return when the message is tried again; 0 if it isn't."""
    if outcome.is_success or message.attempts >= len(DELAYS):
        return 0
    delay = DELAYS[message.attempts] * random.uniform(1, 1 + JITTER)  # noqa: S311 - no secret
    return now + max(int(delay), min(outcome.retry_after, MAX_RETRY_AFTER))


def _reschedule(message: WebhookMessage, next_at: int) -> None:
    same = WebhookMessage.id == message.id
    if next_at:
        attempts = WebhookMessage.attempts + 1
        WebhookMessage.update(due_at=next_at, attempts=attempts).where(same).execute()
    else:
        WebhookMessage.delete().where(same).execute()


def _log_attempt(message: WebhookMessage, outcome: Outcome, now: int, next_at: int) -> None:
    WebhookAttempt.create(
        endpoint_id=message.endpoint_id,
        message_uuid=message.uuid,
        type=message.type,
        transcription_uuid=message.transcription_uuid,
        number=message.attempts + 1,
        at=now,
        http_status=outcome.http_status,
        error=outcome.error,
        next_at=next_at,
    )
    of_it = WebhookAttempt.endpoint_id == message.endpoint_id
    kept = WebhookAttempt.select(WebhookAttempt.id).where(of_it).order_by(WebhookAttempt.id.desc())
    too_old = kept.offset(MAX_ATTEMPTS).limit(1)
    WebhookAttempt.delete().where(of_it, WebhookAttempt.id <= too_old).execute()
