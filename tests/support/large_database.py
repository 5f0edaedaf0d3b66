"""A database with many rows of everything."""

import time
from collections.abc import Iterable
from typing import Any

from tests.support.engine import segment
from tests.support.service import PASSWORD
from whisper_service import db
from whisper_service.accounts import passwords
from whisper_service.transcripts.transcript import Transcript

PER_USER = 10
FILES_PER_USER = 3
# Users whose numbers are that far apart have the same of everything.
LIKE = 450
# Both end with users who are alike. In between a gap, for what the operations add.
SMALL, LARGE = 100 * PER_USER, (100 + 23 * LIKE) * PER_USER
DAY = 24 * 3600
MODEL = ("ggml-tiny.en", "1")
READY = ("ready", "audio/mpeg", 240_000, 160_000)
CONVERTING = ("converting", "audio/wav", 240_000, None)
HEARD = Transcript("Hello.", "en", 11.0, [segment(0, 11, "Hello.")])


def fill(numbers: range) -> None:
    """Make transcriptions with accounts, sessions, keys and files, in one transaction.

    One in ten waits, half of them for an engine and half for a transcript that is there already;
    one file in fifty is not converted.
    """
    now = int(time.time())
    accounts = range((numbers.start - 1) // PER_USER + 1, (numbers.stop - 1) // PER_USER + 1)
    files = [n * FILES_PER_USER + part for n in accounts for part in range(FILES_PER_USER)]
    password = passwords.hash_password(PASSWORD, 4)
    cursor = db.database.connection().cursor()

    def insert(columns: str, rows: Iterable[tuple[Any, ...]]) -> None:
        marks = ", ".join("?" * len(columns.split(", ")))
        cursor.executemany(f"INSERT INTO {columns} VALUES ({marks})", rows)  # noqa: S608

    cursor.execute("BEGIN IMMEDIATE")
    insert(
        "user (id, uuid, username, password_hash, is_admin, registered_at, token_balance)",
        ((n, uuid("user", n), f"user-{n}", password, 1, now, 10_000) for n in accounts),
    )
    insert(
        "ledger (user_id, subject, claim, kind, amount, at)",
        ((n, uuid("grant", n), "", "grant", 10_000, now) for n in accounts),
    )
    insert(
        "session (uuid, user_id, started_at, user_agent)",
        ((uuid("session", n * 3 + k), n, now - k * DAY, "") for n in accounts for k in range(3)),
    )
    insert(
        "api_token (uuid, user_id, name, key_hash, key_start, key_end, created_at)",
        ((uuid("token", n), n, "key", uuid("key", n), "0123", "cdef", now) for n in accounts),
    )
    insert(
        "file (uuid, user_id, hash, filename, kind, status, content_type, size_bytes, samples, "
        "uploaded_at)",
        (
            (
                *(uuid("file", n), n // FILES_PER_USER, f"{n:064x}", f"{n}.mp3", "audio"),
                *(CONVERTING if n % 50 == 0 else READY),
                now - n % 90 * DAY,
            )
            for n in files
        ),
    )
    insert(
        "transcript (id, file_uuid, model, model_version, language, data)",
        ((n, file_of(n), *MODEL, "auto", HEARD.to_json()) for n in numbers),
    )
    insert(
        "transcription (uuid, user_id, file_uuid, model, model_version, language, format, "
        "created_at, status, processed_at, attempts, claim, samples, transcript_id)",
        (
            (
                *(uuid("transcription", n), owner_of(n), file_of(n), *MODEL),
                *("en" if n % 20 == 0 else "auto", "srt", now - n % 90 * DAY),
                *(
                    ("pending", 0, 0, None, None, None)
                    if n % 10 == 0
                    else ("completed", now, 1, uuid("claim", n), 16_000, n)
                ),
            )
            for n in numbers
        ),
    )
    cursor.execute("COMMIT")


def owner_of(transcription: int) -> int:
    return (transcription - 1) // PER_USER + 1


def file_of(transcription: int) -> str:
    return uuid("file", owner_of(transcription) * FILES_PER_USER + transcription % FILES_PER_USER)


def uuid(kind: str, number: int) -> str:
    """Make an identifier whose order is that of the numbers, as it is with real ones."""
    return f"{number:016x}{sum(kind.encode()):016x}"
