"""Whether the account that a request acts for is still the one that was authenticated."""

from whisper_service.errors import Unauthenticated
from whisper_service.tables import User

GONE = "Missing valid Authorization header with session or API key"


def confirm(user: User, message: str = GONE) -> User:
    """Return the account as it is now. Runs in the transaction of what is done on its behalf.

    Raises Unauthenticated, with `message`, when the account is gone, or when its password has
    changed since `user` was read: what was authorized with the old one is not any more.
    """
    now = User.get_or_none(User.uuid == user.uuid, User.password_hash == user.password_hash)
    if now is None:
        raise Unauthenticated(message)
    return now
