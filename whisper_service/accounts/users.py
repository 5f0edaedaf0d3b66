"""Accounts."""

import re
import time
from dataclasses import dataclass
from pathlib import Path

from peewee import IntegrityError

from whisper_service import billing, credentials, ids
from whisper_service.accounts import api_keys, avatars, passwords, sessions
from whisper_service.config import AuthSettings
from whisper_service.db import write_transaction
from whisper_service.errors import Conflict, InvalidRequest, NotFound, Unauthenticated
from whisper_service.files.storage import Storage
from whisper_service.tables import File, Transcription, User

MAX_USERNAME = 20
INCORRECT = "Incorrect old password"
# Rows that one transaction deletes, so that others never wait long for the write lock.
BATCH = 1000
_USERNAME = re.compile(rf"[A-Za-z0-9_-]{{3,{MAX_USERNAME}}}")


@dataclass(frozen=True)
class ProfileChange:
    """What to change of an account; None leaves it as it is. `avatar` is a picture on disk.

    `revoke_keys` goes with a new password, and revokes all API keys.
    """

    username: str | None = None
    password: str | None = None
    old_password: str | None = None
    avatar: Path | None = None
    revoke_keys: bool = False


def register(
    username: str,
    password: str,
    rules: AuthSettings,
    initial_balance: int,
    *,
    is_admin: bool = False,
) -> User:
    """Create an account that starts with `initial_balance` tokens.

    Raises InvalidRequest for a name or password against the rules, Conflict for a name that is
    taken, whatever its case.
    """
    check_new(username, password, rules)
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


def check_new(username: str, password: str, rules: AuthSettings) -> None:
    """Raise InvalidRequest or Conflict if no account can be registered with these."""
    check_username(username)
    passwords.check_strength(password, rules)
    if find(username):
        raise Conflict("Username already exists")


def authenticate(username: str, password: str, rules: AuthSettings) -> User:
    """Find the account that a name and a password belong to, whatever the name's case.

    Raises Unauthenticated, after the same time and with the same text for a name that does not
    exist as for a wrong password.
    """
    user = find(username)
    if user is None:
        passwords.burn_time(password, rules.bcrypt_cost)
    elif passwords.matches(password, user.password_hash):
        return user
    raise Unauthenticated("Authentication failed")


def update(
    user: User, change: ProfileChange, rules: AuthSettings, storage: Storage, session: str | None
) -> list[str]:
    """Change all that is asked for or nothing; return the names of the fields that changed.

    A new password ends all sessions but `session`. Raises InvalidRequest, Unauthenticated for a
    wrong old password or an account that is gone, Conflict for a name that is taken.
    """
    values = _new_values(user, change, rules)
    avatar = avatars.store(change.avatar, storage) if change.avatar else None
    if avatar:
        values["avatar_uuid"] = avatar
    fields = [name for name in ("username", "password", "avatar") if getattr(change, name)]
    if not fields:
        raise InvalidRequest("No fields to update. Give username, password or avatar")
    try:
        with write_transaction():
            before = credentials.confirm(user, INCORRECT if change.password else credentials.GONE)
            User.update(values).where(User.uuid == user.uuid).execute()
            if change.password:
                sessions.end_others(user, session)
            if change.revoke_keys:
                api_keys.revoke_all(user)
    except BaseException as error:
        avatars.remove(avatar, storage)
        if isinstance(error, IntegrityError):
            raise Conflict("Username already taken") from error
        raise
    if avatar:
        avatars.remove(before.avatar_uuid, storage)
    return fields


def delete(user: User, password: str, storage: Storage) -> None:
    """Delete an account with all that it has, running jobs included.

    Its sessions and keys go first, then its rows in batches, the account last: when the service is
    killed meanwhile, the owner can log in and delete what is left. Raises Unauthenticated for a
    wrong password, Conflict for the last administrator's account.
    """
    if not passwords.matches(password, user.password_hash):
        raise Unauthenticated("Incorrect password")
    with write_transaction():
        credentials.confirm(user, "Incorrect password")
        _ensure_not_last_admin(user)
        User.update(is_admin=0).where(User.uuid == user.uuid).execute()
        sessions.end_others(user, None)
        api_keys.revoke_all(user)
    while _delete_transcriptions(user):
        pass
    with write_transaction():
        now = User.get_or_none(User.uuid == user.uuid)
        files = [row.uuid for row in File.select(File.uuid).where(File.user_id == user.id)]
        User.delete().where(User.uuid == user.uuid).execute()
    for uuid in files:
        storage.delete(uuid)
    avatars.remove(now.avatar_uuid if now else None, storage)


def _delete_transcriptions(user: User) -> int:
    """Delete some of the account's transcriptions, and return how many."""
    some = Transcription.select(Transcription.id).where(Transcription.user_id == user.id)
    with write_transaction():
        deleted: int = (
            Transcription.delete().where(Transcription.id.in_(some.limit(BATCH))).execute()
        )
    return deleted


def promote(uuid: str) -> None:
    """Make an administrator of an account, end its sessions and revoke its API keys.

    Raises NotFound when it was deleted meanwhile.
    """
    with write_transaction():
        user = User.get_or_none(User.uuid == uuid)
        if user is None:
            raise NotFound("User not found")
        User.update(is_admin=1).where(User.uuid == uuid).execute()
        sessions.end_others(user, None)
        api_keys.revoke_all(user)


def find(username: str) -> User | None:
    return User.get_or_none(User.username == username)


def check_username(username: str) -> None:
    if not _USERNAME.fullmatch(username):
        raise InvalidRequest(
            "Invalid username. Must be 3-20 characters and contain only "
            "alphanumeric characters, underscores, or hyphens"
        )


def _ensure_not_last_admin(user: User) -> None:
    """Raise Conflict for the last administrator. Runs in the transaction of the deletion."""
    admins = User.select(User.id).where(User.is_admin == 1).limit(2)
    if [admin.id for admin in admins] == [user.id]:
        raise Conflict(
            "The last administrator's account cannot be deleted. Make another administrator first"
        )


def _new_values(user: User, change: ProfileChange, rules: AuthSettings) -> dict[str, str]:
    values = {}
    if change.revoke_keys and not change.password:
        raise InvalidRequest("revoke_keys is for a change of the password")
    if change.username:
        check_username(change.username)
        values["username"] = change.username
        other = find(change.username)
        if other and other.id != user.id:
            raise Conflict("Username already taken")
    if change.password:
        if not change.old_password:
            raise InvalidRequest("old_password is required to update password")
        passwords.check_strength(change.password, rules)
        if not passwords.matches(change.old_password, user.password_hash):
            raise Unauthenticated(INCORRECT)
        values["password_hash"] = passwords.hash_password(
            change.password, rules.bcrypt_cost, is_known=True
        )
    return values
