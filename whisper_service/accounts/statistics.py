"""Accounts as administrators see and change them."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from peewee import fn

from whisper_service import billing, credentials
from whisper_service.audio import SAMPLE_RATE
from whisper_service.db import write_transaction
from whisper_service.errors import NotFound
from whisper_service.files import quota
from whisper_service.pagination import Page, newest_first
from whisper_service.tables import ApiKey, File, Session, Transcription, User

DAYS = 30


@dataclass(frozen=True)
class Statistics:
    """Statistics of one user. The first three cover the last 30 days."""

    transcriptions: int = 0
    audio_seconds: int = 0
    files_uploaded: int = 0
    storage_bytes: int = 0
    active_sessions: int = 0
    api_keys: int = 0


def list_users(page: int, limit: int) -> Page[User]:
    return newest_first(User.select(), User.id, page, limit)


def count_by_user(users: Sequence[User], session_hours: int) -> dict[int, Statistics]:
    """Return statistics by user id. Each query is answered from an index alone."""
    now = int(time.time())
    owners = [user.id for user in users]
    recent = now - DAYS * 24 * 3600
    completed = Transcription.status == "completed"
    seconds = fn.sum(Transcription.samples).filter(completed) / SAMPLE_RATE
    counted: dict[str, dict[int, int]] = {
        "transcriptions": _by_user(
            Transcription, fn.count(), owners, Transcription.created_at >= recent
        ),
        "audio_seconds": _by_user(
            Transcription, seconds, owners, Transcription.created_at >= recent
        ),
        "files_uploaded": _by_user(File, fn.count(), owners, File.uploaded_at >= recent),
        "storage_bytes": _by_user(File, fn.sum(quota.STORED_BYTES), owners),
        "active_sessions": _by_user(
            Session, fn.count(), owners, Session.started_at > now - session_hours * 3600
        ),
        "api_keys": _by_user(ApiKey, fn.count(), owners),
    }
    return {
        owner: Statistics(**{name: counts.get(owner, 0) for name, counts in counted.items()})
        for owner in owners
    }


def update_user(
    admin: User, uuid: str, token_balance: int | None, price_multiplier: Decimal | None
) -> User:
    """Set a user's balance, price or both, and return the updated user.

    Raises NotFound, Unauthenticated or Forbidden for an `admin` who is none any more.
    """
    with write_transaction():
        credentials.confirm_admin(admin)
        user = User.get_or_none(User.uuid == uuid)
        if user is None:
            raise NotFound("User not found")
        if token_balance is not None:
            billing.set_balance(user, token_balance)
        if price_multiplier is not None:
            micros = int(price_multiplier * billing.MICROS)
            User.update(price_micros=micros).where(User.uuid == uuid).execute()
        return User.get_by_id(user.id)


def _by_user(
    table: Any,  # noqa: ANN401 - any table with a user_id
    value: Any,  # noqa: ANN401 - an SQL expression
    owners: Iterable[int],
    *conditions: Any,  # noqa: ANN401
) -> dict[int, int]:
    query = table.select(table.user_id, value).where(table.user_id.in_(owners), *conditions)
    return {owner: int(count or 0) for owner, count in query.group_by(table.user_id).tuples()}
