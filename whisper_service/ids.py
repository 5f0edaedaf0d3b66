"""UUIDv7 as RFC 9562 lays it out, printed as 32 lower-case hex digits."""

import re
import secrets
import time

from whisper_service.errors import InvalidRequest

_HEX = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def uuid7() -> str:
    """Return a new identifier: 48 bits of Unix milliseconds, then 74 bits from the system's CSPRNG.

    Session ids and API keys are made here too, so no bits are used for a counter.
    """
    milliseconds = time.time_ns() // 1_000_000
    random = secrets.randbits(74)
    head = (milliseconds & (1 << 48) - 1) << 80 | 7 << 76 | random >> 62 << 64
    return f"{head | 2 << 62 | random & (1 << 62) - 1:032x}"


def parse(text: str, what: str = "UUID") -> str:
    """Return an identifier in its stored form. Hyphens and upper case are accepted.

    Raises InvalidRequest, which names it as `what`, for anything that is not 32 hex digits.
    """
    if not _HEX.fullmatch(text):
        raise InvalidRequest(f"Invalid {what} format")
    return text.replace("-", "").lower()
