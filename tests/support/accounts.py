"""Accounts as a test wants them."""

from whisper_service.db import write_transaction
from whisper_service.tables import User


def make_admin(username: str) -> None:
    """Make an administrator of an account, whose sessions and keys go on."""
    with write_transaction():
        assert User.update(is_admin=1).where(User.username == username).execute() == 1
