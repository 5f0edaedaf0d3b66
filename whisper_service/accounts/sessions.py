"""Login sessions, which end when they expire, at logout, or with a new password."""

import time

from whisper_service import credentials, ids
from whisper_service.db import write_transaction
from whisper_service.errors import Forbidden, NotFound
from whisper_service.tables import Session, User

MAX_USER_AGENT = 512


def start(user: User, user_agent: str, hours: int) -> str:
    """Start a session and return its id. The user's expired ones are deleted.

    Raises Unauthenticated when the account was deleted or its password changed since it was read.
    """
    uuid = ids.uuid7()
    with write_transaction():
        credentials.confirm(user, "Authentication failed")
        Session.delete().where(
            Session.user_id == user.id, Session.started_at <= _oldest(hours)
        ).execute()
        Session.create(
            uuid=uuid,
            user_id=user.id,
            started_at=int(time.time()),
            user_agent=user_agent[:MAX_USER_AGENT],
        )
    return uuid


def find_user(uuid: str, hours: int) -> User | None:
    """Return the owner of a session, or None if it has ended or is older than `hours`."""
    session = _find(uuid, hours)
    return User.get_or_none(User.id == session.user_id) if session else None


def end(uuid: str, user: User, hours: int) -> None:
    """End a session.

    Raises NotFound when it has already ended, Forbidden when it belongs to another user.
    """
    session = _find(uuid, hours)
    if session is None:
        raise NotFound("Session not found or already ended")
    if session.user_id != user.id:
        raise Forbidden("Cannot logout from another user's session")
    with write_transaction():
        Session.delete().where(Session.id == session.id).execute()


def list_active(user: User, hours: int) -> list[Session]:
    """Return the user's sessions that have neither ended nor expired, oldest first."""
    query = Session.select().where(Session.user_id == user.id, Session.started_at > _oldest(hours))
    return list(query.order_by(Session.started_at, Session.id))


def end_others(user: User, kept: str | None) -> None:
    """End all of the user's sessions but `kept`. Runs in the caller's transaction."""
    Session.delete().where(Session.user_id == user.id, Session.uuid != (kept or "")).execute()


def _find(uuid: str, hours: int) -> Session | None:
    return Session.get_or_none(Session.uuid == uuid, Session.started_at > _oldest(hours))


def _oldest(hours: int) -> int:
    return int(time.time()) - hours * 3600
