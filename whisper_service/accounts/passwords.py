"""Passwords: the rules for new ones, and their bcrypt hashes."""

import base64
import hashlib
import os
import sys
import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache

import bcrypt

from whisper_service.config import AuthSettings
from whisper_service.errors import InvalidRequest

MAX_LENGTH = 1024


def _lower_priority() -> None:
    """Lower this thread's priority, which only Linux has per thread."""
    if sys.platform == "linux":
        os.nice(5)


# A hash takes a core for a quarter of a second: at most one per core runs at once, in the order of
# arrival and at a lower priority than short requests.
_CORES = os.cpu_count() or 1
_hashers = ThreadPoolExecutor(_CORES, "passwords", _lower_priority)
# Registrations and logins with unknown names leave one core free for the passwords of known names,
# however many they are.
_unknown_names = threading.Semaphore(max(1, _CORES - 1))


def check_strength(password: str, rules: AuthSettings) -> None:
    """Raise InvalidRequest for the first rule that a new password breaks."""
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


def hash_password(password: str, cost: int, *, is_known: bool = False) -> str:
    """Hash a new password, of an existing account if `is_known`."""
    with nullcontext() if is_known else _unknown_names:
        hashed = _hashers.submit(bcrypt.hashpw, _digest(password), bcrypt.gensalt(cost)).result()
    return hashed.decode()


def matches(password: str, password_hash: str) -> bool:
    return _hashers.submit(bcrypt.checkpw, _digest(password), password_hash.encode()).result()


def burn_time(password: str, cost: int) -> None:
    """Take as long as `matches`, for a user who does not exist."""
    unused_hash = _hash_unused(cost)
    with _unknown_names:
        matches(password, unused_hash)


@cache
def _hash_unused(cost: int) -> str:
    return hash_password("nobody", cost)


def _is_special(character: str) -> bool:
    return not character.isalnum()


def _digest(password: str) -> bytes:
    """Return 44 bytes without NUL for a password of any length: bcrypt reads 72, up to a NUL.

    Unicode is normalized first (NFKC), since keyboards compose accents differently.
    """
    normal = unicodedata.normalize("NFKC", password).encode()
    return base64.b64encode(hashlib.sha256(normal).digest())
