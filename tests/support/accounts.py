"""Accounts in the database."""

from whisper_service.db import write_transaction
from whisper_service.tables import User


def make_admin(username: str) -> None:
    """Promote an account, and keep its sessions and keys."""
    with write_transaction():
        assert User.update(is_admin=1).where(User.username == username).execute() == 1
