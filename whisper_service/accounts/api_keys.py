"""API keys. Only a hash of a key is stored; the key itself is shown once."""

import time

from blake3 import blake3

from whisper_service import credentials, ids
from whisper_service.db import write_transaction
from whisper_service.errors import InvalidRequest, NotFound
from whisper_service.tables import ApiKey, User


def issue(user: User, name: str) -> tuple[ApiKey, str]:
    """Create a key; return its row and the key.

    Raises InvalidRequest for a name that is empty or longer than 255 characters, Unauthenticated
    when the account was deleted or its password changed since it was read.
    """
    if not 1 <= len(name.strip()) <= 255:
        raise InvalidRequest("Token name must be between 1 and 255 characters")
    key = ids.uuid7()
    with write_transaction():
        credentials.confirm(user)
        row = ApiKey.create(
            uuid=ids.uuid7(),
            user_id=user.id,
            name=name.strip(),
            key_hash=_hash(key),
            key_start=key[:4],
            key_end=key[-4:],
            created_at=int(time.time()),
        )
    return row, key


def list_keys(user: User) -> list[ApiKey]:
    """Return the user's keys, oldest first."""
    return list(ApiKey.select().where(ApiKey.user_id == user.id).order_by(ApiKey.id))


def revoke(user: User, uuid: str) -> ApiKey:
    """Revoke a key of the user and return its former row.

    Raises NotFound, Unauthenticated for credentials that were revoked meanwhile.
    """
    with write_transaction():
        credentials.confirm(user)
        row = ApiKey.get_or_none(ApiKey.uuid == uuid, ApiKey.user_id == user.id)
        if row is None:
            raise NotFound("Token not found or access denied")
        ApiKey.delete().where(ApiKey.id == row.id).execute()
    return row


def revoke_all(user: User) -> None:
    """Revoke all keys of the user. Runs in the caller's transaction."""
    ApiKey.delete().where(ApiKey.user_id == user.id).execute()


def find_user(key: str) -> User | None:
    """Return the owner of a key, or None if it is unknown or revoked."""
    row = ApiKey.get_or_none(ApiKey.key_hash == _hash(key))
    return User.get_or_none(User.id == row.user_id) if row else None


def _hash(key: str) -> str:
    """Hash a key. Its 74 random bits need no slow hash."""
    return blake3(key.encode()).hexdigest()
