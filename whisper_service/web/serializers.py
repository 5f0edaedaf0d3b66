"""Rows as the JSON that clients see."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from whisper_service import billing
from whisper_service.accounts.statistics import Statistics
from whisper_service.audio import seconds_of
from whisper_service.jobs.progress import Pending, Processing, Progress
from whisper_service.jobs.search import Hit
from whisper_service.pagination import Page
from whisper_service.tables import ApiKey, File, Session, Transcription, Upload, User
from whisper_service.web.rendering import Rendered


def timestamp(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def user(row: User) -> dict[str, Any]:
    return {
        "uuid": row.uuid,
        "username": row.username,
        "is_admin": bool(row.is_admin),
        "registered_at": timestamp(row.registered_at),
        "token_balance": row.token_balance,
        "avatar_uuid": row.avatar_uuid,
    }


def own_account(row: User) -> dict[str, Any]:
    return user(row) | {"price_multiplier": row.price_micros / billing.MICROS}


def priced_user(row: User) -> dict[str, Any]:
    return {
        "uuid": row.uuid,
        "username": row.username,
        "token_balance": row.token_balance,
        "price_multiplier": row.price_micros / billing.MICROS,
    }


def user_with_statistics(row: User, statistics: Statistics) -> dict[str, Any]:
    return user(row) | {
        "price_multiplier": row.price_micros / billing.MICROS,
        "stats": {
            "last_30_days": {
                "transcriptions_count": statistics.transcriptions,
                "total_audio_seconds": statistics.audio_seconds,
                "files_uploaded": statistics.files_uploaded,
            },
            "total_storage_bytes": statistics.storage_bytes,
            "active_sessions": statistics.active_sessions,
            "api_keys_count": statistics.api_keys,
        },
    }


def session(row: Session) -> dict[str, Any]:
    return {
        "session_id": row.uuid,
        "started_at": timestamp(row.started_at),
        "user_agent": row.user_agent,
    }


def api_key(row: ApiKey) -> dict[str, Any]:
    return {
        "token_id": row.uuid,
        "token": f"{row.key_start}...{row.key_end}",
        "name": row.name,
        "created_at": timestamp(row.created_at),
    }


def pagination(page: Page[Any]) -> dict[str, int]:
    return {
        "page": page.number,
        "limit": page.limit,
        "total_count": page.total,
        "total_pages": page.total_pages,
    }


def file(row: File) -> dict[str, Any]:
    seconds = seconds_of(row.samples) if row.samples else None
    answer = {
        "uuid": row.uuid,
        "filename": row.filename,
        "content_type": row.content_type,
        "size_bytes": row.size_bytes,
        "uploaded_at": timestamp(row.uploaded_at),
        "duration_seconds": seconds,
        "status": row.status,
    }
    return answer | ({"error": row.error} if row.error else {})


def stored_file(row: File, filename: str, *, existed: bool) -> dict[str, Any]:
    return {
        "message": "File already exists" if existed else "File uploaded successfully",
        "filename": filename,
        "uuid": row.uuid,
        "hash": row.hash,
        "status": {"existed": existed, "uploaded": not existed},
    }


def rejected_file(filename: str, code: str, message: str) -> dict[str, Any]:
    return {
        "message": message,
        "filename": filename,
        "status": {"existed": False, "uploaded": False, "error": code},
    }


def upload(row: Upload, file: File | None, *, offset: int, expires_at: int) -> dict[str, Any]:
    """Return a resumable upload, with the `file` that it became, or why it became none."""
    result = None
    if file:
        result = stored_file(file, row.filename, existed=bool(row.existed))
    elif row.error:
        result = rejected_file(row.filename, str(row.error_code), row.error)
    return {
        "uuid": row.uuid,
        "offset": offset,
        "size_bytes": row.size_bytes,
        "expires_at": timestamp(expires_at),
        "file": result,
    }


def transcription(
    row: Transcription,
    shown_format: str,
    rendered: Rendered | None,
    progress: Pending | Processing | None,
) -> dict[str, Any]:
    """Return one, for `to_json`. A failed one has its error, an unfinished one its progress.

    A completed one without its `rendered` result says that its data are left out.
    """
    answer: dict[str, Any] = {
        "uuid": row.uuid,
        "file_uuid": row.file_uuid,
        "model": row.model,
        "language": rendered.language if rendered else row.language,
        "format": shown_format,
        "status": row.status,
    }
    if row.status == "failed":
        answer["error"] = row.error
    answer["processed_at"] = timestamp(row.processed_at)
    if row.status == "completed":
        answer["revision"] = row.revision
    if row.status != "failed":
        answer["data"] = rendered.data if rendered else None
    if row.status == "completed" and rendered is None:
        answer["data_omitted"] = True
    return answer | _progress(progress)


def listed_transcription(
    row: Transcription, filename: str | None, progress: Progress | None
) -> dict[str, Any]:
    """Return one of a list, without its transcript and the text so far."""
    answer: dict[str, Any] = {
        "uuid": row.uuid,
        "file_uuid": row.file_uuid,
        "filename": filename,
        "model": row.model,
        "language": row.language,
        "format": row.format,
        "status": row.status,
        "created_at": timestamp(row.created_at),
        "processed_at": timestamp(row.processed_at),
        "revision": row.revision,
    }
    if row.error:
        answer["error"] = row.error
    shown = _progress(progress)
    for left_out in ("text", "data_omitted"):
        shown.pop(left_out, None)
    return answer | shown


def search_hit(hit: Hit) -> dict[str, Any]:
    return vars(hit)


def to_json(answer: Mapping[str, Any]) -> bytes:
    """Encode an answer compactly. A value that is bytes is JSON already."""
    fields = (
        _compact(name) + b":" + (value if isinstance(value, bytes) else _compact(value))
        for name, value in answer.items()
    )
    return b"{%s}" % b",".join(fields)


def _compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _progress(progress: Progress | None) -> dict[str, Any]:
    if isinstance(progress, Pending):
        return {
            "queue_position": progress.queue_position,
            "eta_seconds": progress.eta_seconds,
        }
    if isinstance(progress, Processing):
        text = {"data_omitted": True} if progress.text is None else {"text": progress.text}
        percent = int(100 * progress.share)
        return {"progress": percent, **text, "eta_seconds": progress.eta_seconds}
    return {}
