"""Secrets and signatures of the Standard Webhooks specification (symmetric, v1)."""

import base64
import hashlib
import hmac
import json
import secrets

PREFIX = "whsec_"
SECRET_BYTES = 32  # 24 to 64
# For how long a secret signs along after its rotation. Two of them: the answer to the first of two
# rotations may have been lost.
OVERLAP_SECONDS = 24 * 3600
MAX_OLD = 2


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def retire(secret: str, old: str, now: int) -> str:
    """Return the old secrets, as they are stored, once another one is rotated out."""
    kept = [[secret, now + OVERLAP_SECONDS], *_valid(old, now)]
    return json.dumps(kept[:MAX_OLD])


def valid_secrets(secret: str, old: str, now: int) -> list[str]:
    """Return the secrets that sign: the current one, and those that were rotated out lately."""
    return [secret, *(each for each, _ in _valid(old, now))]


def headers(secrets: list[str], uuid: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of a message that is signed with each of the secrets.

    `timestamp` is that of the attempt, in seconds since 1970.
    """
    content = f"{uuid}.{timestamp}.".encode() + body
    return {
        "webhook-id": uuid,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_sign(secret, content) for secret in secrets),
    }


def _sign(secret: str, content: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()


def _valid(old: str, now: int) -> list[tuple[str, int]]:
    return [(secret, until) for secret, until in json.loads(old) if until > now]
