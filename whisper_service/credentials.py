"""Checking that the account of a request is still the one that was authenticated."""

from whisper_service.errors import Forbidden, Unauthenticated
from whisper_service.tables import User

MISSING = "Missing valid Authorization header with session or API key"


def confirm(user: User, message: str = MISSING) -> User:
    """Return the account as it is now. Runs in the transaction that acts on its behalf.

    Raises Unauthenticated with `message` when the account was deleted, or its password changed
    since `user` was read, which revokes what the old one authorized.
    """
    now = User.get_or_none(User.uuid == user.uuid, User.password_hash == user.password_hash)
    if now is None:
        raise Unauthenticated(message)
    return now


def confirm_admin(user: User) -> None:
    """Check that the account is still an administrator's, like `confirm`.

    Raises Unauthenticated or Forbidden.
    """
    require_admin(confirm(user))


def require_admin(user: User) -> None:
    """Raise Forbidden unless the account is an administrator's."""
    if not user.is_admin:
        raise Forbidden("Access denied. Admin privileges required")
