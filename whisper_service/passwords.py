"""Passwords: the rules for new ones, and their bcrypt hashes."""

import base64
import hashlib
import unicodedata
from functools import cache

import bcrypt

from whisper_service.config import Auth
from whisper_service.errors import InvalidRequest

MAX_LENGTH = 1024


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
    return bcrypt.hashpw(_digest(password), bcrypt.gensalt(cost)).decode()


def matches(password: str, password_hash: str) -> bool:
    return bcrypt.checkpw(_digest(password), password_hash.encode())


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
