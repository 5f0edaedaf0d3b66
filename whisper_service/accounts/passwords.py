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


def _step_back() -> None:
    """Let other threads go first. Only on Linux has each thread a priority of its own."""
    if sys.platform == "linux":
        os.nice(5)


# A hash takes a core for a quarter of a second: no more at once than there are cores, those who
# asked first before others, and short requests before all of them.
_CORES = os.cpu_count() or 1
_hashers = ThreadPoolExecutor(_CORES, "passwords", _step_back)
# Registrations and logins with names that nobody has wait here, so that however many they are a
# known name's password finds a core.
_strangers = threading.Semaphore(max(1, _CORES - 1))


def check_strength(password: str, rules: AuthSettings) -> None:
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


def hash_password(password: str, cost: int, *, is_known: bool = False) -> str:
    """Hash a new password: of an account that exists if `is_known`, or else of a new one."""
    with nullcontext() if is_known else _strangers:
        hashed = _hashers.submit(bcrypt.hashpw, _digest(password), bcrypt.gensalt(cost)).result()
    return hashed.decode()


def matches(password: str, password_hash: str) -> bool:
    return _hashers.submit(bcrypt.checkpw, _digest(password), password_hash.encode()).result()


def burn_time(password: str, cost: int) -> None:
    """Take as long as `matches` does, for a user who does not exist."""
    nobody = _nobody(cost)
    with _strangers:
        matches(password, nobody)


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
