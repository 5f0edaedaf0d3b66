"""Rows as the JSON that clients see."""

from datetime import UTC, datetime
from typing import Any

from whisper_service import formats, transcriptions
from whisper_service.tables import File, Transcription, User


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


def transcription(row: Transcription) -> dict[str, Any]:
    """Render one in its format. A failed one tells why instead of what it holds."""
    transcript = transcriptions.transcript_of(row)
    answer: dict[str, Any] = {
        "uuid": row.uuid,
        "file_uuid": row.file_uuid,
        "model": row.model,
        "language": transcript.language if transcript else row.language,
        "format": row.format,
        "status": row.status,
    }
    if row.status == "failed":
        answer["error"] = row.error
    answer["processed_at"] = timestamp(row.processed_at)
    if row.status != "failed":
        answer["data"] = formats.FORMATS[row.format](transcript) if transcript else None
    return answer
