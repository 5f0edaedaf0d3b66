"""User accounts: registration, authentication, changes and deletion."""

import re
import time
from dataclasses import dataclass
from pathlib import Path

from peewee import IntegrityError

from whisper_service import billing, credentials, ids, search_index
from whisper_service.accounts import api_keys, avatars, passwords, sessions
from whisper_service.config import AuthSettings
from whisper_service.db import write_transaction
from whisper_service.errors import Conflict, InvalidRequest, NotFound, Unauthenticated
from whisper_service.files.storage import Storage
from whisper_service.tables import File, Transcription, Upload, User

MAX_USERNAME = 20
WRONG_OLD = "Incorrect old password"
# Rows that one transaction deletes, so that no one waits long for the write lock.
BATCH_SIZE = 1000
_USERNAME = re.compile(rf"[A-Za-z0-9_-]{{3,{MAX_USERNAME}}}")


@dataclass(frozen=True)
class ProfileChange:
    """The changes to an account; None leaves a field as it is. `avatar` is a picture on disk.

    `revoke_keys` revokes all API keys, and requires a new password.
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

    Raises InvalidRequest for a name or password that breaks a rule, Conflict for a name that is
    taken in any case.
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
    """Return the account with this name, in any case, and this password.

    Raises Unauthenticated, after the same time and with the same text for an unknown name as for a
    wrong password.
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
    """Make all of the changes or none; return the names of the changed fields.

    A new password ends all sessions but `session`. Raises InvalidRequest, Unauthenticated for a
    wrong old password or a deleted account, Conflict for a name that is taken.
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
            before = credentials.confirm(
                user, WRONG_OLD if change.password else credentials.MISSING
            )
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
    """Delete an account and everything that it owns, including running jobs.

    Sessions and keys go first, then transcriptions in batches, the account last: if the service is
    killed in between, the owner can log in and delete the rest. Raises Unauthenticated for a wrong
    password, Conflict for the last administrator's account.
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
    while _remove_from_search():
        pass
    with write_transaction():
        now = User.get_or_none(User.uuid == user.uuid)
        files = [row.uuid for row in File.select(File.uuid).where(File.user_id == user.id)]
        uploads = [row.uuid for row in Upload.select().where(Upload.user_id == user.id)]
        User.delete().where(User.uuid == user.uuid).execute()
    for uuid in files:
        storage.delete(uuid)
    for uuid in uploads:
        storage.uploads.remove(uuid)
    avatars.remove(now.avatar_uuid if now else None, storage)


def _delete_transcriptions(user: User) -> int:
    """Delete a batch of the account's transcriptions, and return its size."""
    some = Transcription.select(Transcription.id).where(Transcription.user_id == user.id)
    with write_transaction():
        deleted: int = (
            Transcription.delete().where(Transcription.id.in_(some.limit(BATCH_SIZE))).execute()
        )
    return deleted


def _remove_from_search() -> int:
    """Remove a batch of deleted segments from the index, and return its size."""
    with write_transaction():
        return search_index.remove_deleted()


def promote(uuid: str) -> None:
    """Make an account an administrator, end its sessions and revoke its API keys.

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
    """Raise Conflict for the last administrator. Runs in the caller's transaction."""
    admins = User.select(User.id).where(User.is_admin == 1).limit(2)
    if [admin.id for admin in admins] == [user.id]:
        raise Conflict(
            "The last administrator's account cannot be deleted. Make another administrator first"
        )


def _new_values(user: User, change: ProfileChange, rules: AuthSettings) -> dict[str, str]:
    values = {}
    if change.revoke_keys and not change.password:
        raise InvalidRequest("revoke_keys requires a new password")
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
            raise Unauthenticated(WRONG_OLD)
        values["password_hash"] = passwords.hash_password(
            change.password, rules.bcrypt_cost, is_known=True
        )
    return values
