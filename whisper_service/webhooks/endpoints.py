"""A user's endpoints: where messages are sent, and with which secret they are signed."""

import time

from whisper_service import credentials, ids
from whisper_service.db import write_transaction
from whisper_service.errors import Conflict, InvalidRequest, NotFound
from whisper_service.pagination import Page, newest_first
from whisper_service.tables import User, WebhookAttempt, WebhookEndpoint, WebhookMessage
from whisper_service.webhooks import signing, urls

MAX_PER_USER = 10
TEST = "webhook.test"


def create(user: User, url: str, *, allow_private: bool) -> WebhookEndpoint:
    """Create an endpoint with a new secret.

    Raises InvalidRequest for a URL that is not allowed or one endpoint too many, Conflict for a URL
    that the user has already, Unauthenticated for credentials that were revoked meanwhile.
    """
    urls.check(url, allow_private=allow_private)
    now = time.time()
    with write_transaction():
        credentials.confirm(user)
        own = WebhookEndpoint.select().where(WebhookEndpoint.user_id == user.id)
        if own.where(WebhookEndpoint.url == url).exists():
            raise Conflict("A webhook with this URL exists already")
        if own.count() >= MAX_PER_USER:
            raise InvalidRequest(f"At most {MAX_PER_USER} webhooks are allowed")
        return WebhookEndpoint.create(
            uuid=ids.uuid7(),
            user_id=user.id,
            url=url,
            secret=signing.new_secret(),
            created_at=int(now),
            turn=int(now * 1000),
        )


def list_owned(user: User, page: int, limit: int) -> Page[WebhookEndpoint]:
    own = WebhookEndpoint.select().where(WebhookEndpoint.user_id == user.id)
    return newest_first(own, WebhookEndpoint.id, page, limit)


def find_owned(user: User, uuid: str) -> WebhookEndpoint:
    """Return an endpoint of the user. Raises NotFound."""
    endpoint = WebhookEndpoint.get_or_none(
        WebhookEndpoint.uuid == uuid, WebhookEndpoint.user_id == user.id
    )
    if endpoint is None:
        raise NotFound("Webhook not found or access denied")
    return endpoint


def list_attempts(endpoint: WebhookEndpoint) -> list[WebhookAttempt]:
    """Return the last attempts, newest first."""
    own = WebhookAttempt.select().where(WebhookAttempt.endpoint_id == endpoint.id)
    return list(own.order_by(WebhookAttempt.id.desc()))


def rotate(user: User, uuid: str) -> WebhookEndpoint:
    """Replace the secret of an endpoint; the last two before it also sign for a day.

    Raises NotFound, Unauthenticated for credentials that were revoked meanwhile.
    """
    with write_transaction():
        endpoint = find_owned(credentials.confirm(user), uuid)
        old = signing.retire(endpoint.secret, endpoint.old_secrets, int(time.time()))
        endpoint.secret = signing.new_secret()
        _update(endpoint, secret=endpoint.secret, old_secrets=old)
    return endpoint


def enable(user: User, uuid: str) -> None:
    """Enable an endpoint again. What waited for it is due at once.

    Raises NotFound, Unauthenticated for credentials that were revoked meanwhile.
    """
    with write_transaction():
        endpoint = find_owned(credentials.confirm(user), uuid)
        if endpoint.disabled_reason:
            _update(endpoint, disabled_reason=None, failing_since=0)
            WebhookMessage.update(due_at=int(time.time())).where(
                WebhookMessage.endpoint_id == endpoint.id
            ).execute()


def disable(user: User, uuid: str) -> None:
    """Stop sending to an endpoint; later events are not kept for it.

    Raises NotFound, Unauthenticated for credentials that were revoked meanwhile.
    """
    with write_transaction():
        endpoint = find_owned(credentials.confirm(user), uuid)
        if not endpoint.disabled_reason:
            _update(endpoint, disabled_reason="owner")


def send_test(user: User, uuid: str) -> WebhookMessage:
    """Send a message without content to an endpoint, as all others are sent.

    Raises NotFound, Conflict for an endpoint that is disabled or has a test waiting,
    Unauthenticated for credentials that were revoked meanwhile.
    """
    now = int(time.time())
    with write_transaction():
        endpoint = find_owned(credentials.confirm(user), uuid)
        if endpoint.disabled_reason:
            raise Conflict("The webhook is disabled")
        waiting = WebhookMessage.select().where(WebhookMessage.endpoint_id == endpoint.id)
        if waiting.where(WebhookMessage.type == TEST).exists():
            raise Conflict("A test message is waiting already")
        return WebhookMessage.create(
            uuid=ids.uuid7(),
            endpoint_id=endpoint.id,
            type=TEST,
            created_at=now,
            due_at=now,
        )


def delete(user: User, uuid: str) -> WebhookEndpoint:
    """Delete an endpoint and everything that waits for it; return its former row.

    Raises NotFound, Unauthenticated for credentials that were revoked meanwhile.
    """
    with write_transaction():
        endpoint = find_owned(credentials.confirm(user), uuid)
        WebhookEndpoint.delete().where(WebhookEndpoint.id == endpoint.id).execute()
    return endpoint


def _update(endpoint: WebhookEndpoint, **values: object) -> None:
    WebhookEndpoint.update(**values).where(WebhookEndpoint.id == endpoint.id).execute()
