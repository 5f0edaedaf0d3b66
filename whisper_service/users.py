"""Accounts."""

import re
import time

from peewee import IntegrityError

from whisper_service import billing, ids, passwords
from whisper_service.config import Auth
from whisper_service.db import write_transaction
from whisper_service.errors import Conflict, InvalidRequest, Unauthenticated
from whisper_service.tables import User

_USERNAME = re.compile(r"[A-Za-z0-9_-]{3,20}")


def register(
    username: str, password: str, rules: Auth, initial_balance: int, *, is_admin: bool = False
) -> User:
    """Create an account that starts with `initial_balance` tokens.

    Raises InvalidRequest for a name or password against the rules, Conflict for a name that is
    taken, whatever its case.
    """
    check_username(username)
    passwords.check_strength(password, rules)
    if find(username):
        raise Conflict("Username already exists")
    password_hash = passwords.hash_password(password, rules.bcrypt_cost)
    try:
        with write_transaction():
            user = User.create(
                uuid=ids.uuid7(),
                username=username,
                password_hash=password_hash,
                is_admin=int(is_admin),
                registered_at=int(time.time()),
            )
            billing.grant(user.id, initial_balance)
    except IntegrityError as error:
        raise Conflict("Username already exists") from error
    return user


def authenticate(username: str, password: str, rules: Auth) -> User:
    """Find the account that a name and a password belong to, whatever the name's case.

    Raises Unauthenticated, after the same time and with the same text for a name that does not
    exist as for a wrong password.
    """
    user = find(username)
    if user is None:
        passwords.burn_time(password, rules.bcrypt_cost)
    elif len(password) <= passwords.MAX_LENGTH and passwords.matches(password, user.password_hash):
        return user
    raise Unauthenticated("Authentication failed")


def promote(user: User) -> None:
    with write_transaction():
        User.update(is_admin=1).where(User.id == user.id).execute()


def find(username: str) -> User | None:
    return User.get_or_none(User.username == username)


def check_username(username: str) -> None:
    if not _USERNAME.fullmatch(username):
        raise InvalidRequest(
            "Invalid username. Must be 3-20 characters and contain only "
            "alphanumeric characters, underscores, or hyphens"
        )
