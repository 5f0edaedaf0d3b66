"""Passwords: the rules for new ones, and their bcrypt hashes."""

import base64
import hashlib
import os
import sys
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import bcrypt

from whisper_service.config import Auth
from whisper_service.errors import InvalidRequest

MAX_LENGTH = 1024


def _step_back() -> None:
    """Let other threads go first. Only on Linux has each thread a priority of its own."""
    if sys.platform == "linux":
        os.nice(5)


# A hash takes a core for a quarter of a second: no more at once than there are cores, those who
# asked first before others, and short requests before all of them.
_hashers = ThreadPoolExecutor(os.cpu_count() or 1, "passwords", _step_back)


def check_strength(password: str, rules: Auth) -> None:
    """Raise InvalidRequest with the first rule that a new password breaks."""
    if len(password) < rules.password_min_length:
        raise InvalidRequest(
            f"Password must be at least {rules.password_min_length} characters long"
        )
    if len(password) > MAX_LENGTH:
        raise InvalidRequest(f"Password must be at most {MAX_LENGTH} characters long")
    for kind, found, needed in (
        ("uppercase letter(s)", sum(map(str.isupper, password)), rules.password_min_uppercase),
        ("lowercase letter(s)", sum(map(str.islower, password)), rules.password_min_lowercase),
        ("digit(s)", sum(map(str.isdigit, password)), rules.password_min_digits),
        ("special character(s)", sum(map(_is_special, password)), rules.password_min_special),
    ):
        if found < needed:
            raise InvalidRequest(f"Password must contain at least {needed} {kind}")


def hash_password(password: str, cost: int) -> str:
    return _hashers.submit(bcrypt.hashpw, _digest(password), bcrypt.gensalt(cost)).result().decode()


def matches(password: str, password_hash: str) -> bool:
    return _hashers.submit(bcrypt.checkpw, _digest(password), password_hash.encode()).result()


def burn_time(password: str, cost: int) -> None:
    """Take as long as `matches` does, for a user who does not exist."""
    matches(password, _nobody(cost))


@cache
def _nobody(cost: int) -> str:
    return hash_password("nobody", cost)


def _is_special(character: str) -> bool:
    return not character.isalnum()


def _digest(password: str) -> bytes:
    """Fold any length into 44 bytes without NUL: bcrypt sees 72 and stops at none beyond.

    Unicode is normalised first (NFKC), for keyboards differ in how they compose an accent.
    """
    normal = unicodedata.normalize("NFKC", password).encode()
    return base64.b64encode(hashlib.sha256(normal).digest())
