"""One attempt to deliver a message."""

import logging
import socket
import ssl
from http.client import HTTPException

from whisper_service.errors import Cancelled
from whisper_service.tables import WebhookEndpoint, WebhookMessage
from whisper_service.webhooks import addresses, http_client, outbox, resolver, signing
from whisper_service.webhooks.cancellation import Cancellation
from whisper_service.webhooks.deadline import Deadline
from whisper_service.webhooks.outbox import Outcome
from whisper_service.webhooks.urls import host_and_port

TIMEOUT = 10.0  # seconds: resolving, connecting, sending and the head of the response, all together
USER_AGENT = "whisper-service-webhooks"
# The first kind that an error is of names it.
WORDS: dict[type[Exception], str] = {
    TimeoutError: "timeout",
    socket.gaierror: "name_not_found",
    UnicodeError: "name_not_found",
    ssl.SSLError: "tls_failed",
    ConnectionRefusedError: "connection_refused",
    ConnectionError: "connection_lost",
    OSError: "connection_failed",
    HTTPException: "invalid_response",
}

logger = logging.getLogger(__name__)


def deliver(
    endpoint: WebhookEndpoint,
    message: WebhookMessage,
    now: int,
    *,
    allow_private: bool,
    cancellation: Cancellation,
) -> Outcome:
    """Send a message to its endpoint. Raises Cancelled."""
    body = outbox.body(message)
    secrets = signing.valid_secrets(endpoint.secret, endpoint.old_secrets, now)
    headers = {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        **signing.headers(secrets, message.uuid, now, body),
    }
    try:
        deadline = Deadline(TIMEOUT, cancellation)
        found = resolver.resolve(*host_and_port(endpoint.url), deadline)
        if not (allow_private or all(addresses.is_public(address) for address in found)):
            return Outcome(error="address_not_allowed")
        response = http_client.post(endpoint.url, found, headers, body, deadline)
    except Exception as error:
        if cancellation.is_cancelled:
            raise Cancelled from error
        return Outcome(error=_word(error))
    return Outcome(response.status, retry_after=response.retry_after)


def _word(error: Exception) -> str:
    """Return the word for an error. Its text may hold the URL, which is not to be logged."""
    for kind, word in WORDS.items():
        if isinstance(error, kind):
            return word
    logger.error("A webhook cannot be sent: %s", type(error).__name__)
    return "internal_error"
