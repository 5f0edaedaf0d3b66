"""A database with many rows of everything."""

import time
from collections.abc import Iterable
from typing import Any

from tests.support.engine import segment
from tests.support.service import PASSWORD
from whisper_service import db
from whisper_service.accounts import passwords
from whisper_service.transcripts import search_words
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
Row = tuple[Any, ...]
HEARD = Transcript("Hello.", "en", 11.0, [segment(0, 11, "Hello.")])


def fill(numbers: range) -> None:
    """Make transcriptions with accounts, sessions, keys and files, in one transaction.

    One in ten waits, half of them for an engine and half for a transcript that is there already;
    one file in fifty is not converted.
    """
    now = int(time.time())
    accounts = range((numbers.start - 1) // PER_USER + 1, (numbers.stop - 1) // PER_USER + 1)
    files = [n * FILES_PER_USER + part for n in accounts for part in range(FILES_PER_USER)]
    cursor = db.database.connection().cursor()
    cursor.execute("BEGIN IMMEDIATE")
    for table, rows in {
        **_accounts(accounts, now),
        "file (uuid, user_id, hash, filename, kind, status, content_type, size_bytes, samples, "
        "uploaded_at)": (_file(n, now) for n in files),
        "transcript (id, file_uuid, model, model_version, language, data)": (
            (n, file_of(n), *MODEL, "auto", HEARD.to_json()) for n in numbers
        ),
        "transcription (uuid, user_id, file_uuid, model, model_version, language, format, "
        "created_at, status, processed_at, attempts, claim, samples, transcript_id)": (
            _transcription(n, now) for n in numbers
        ),
        "searchable (transcript_id, first_row, last_row)": ((n, n, n) for n in numbers),
        "segment_search (rowid, words, text, start, end)": (
            (n, search_words.indexed(owner_of(n), HEARD.text), HEARD.text, 0, 11) for n in numbers
        ),
    }.items():
        marks = ", ".join("?" * len(table.split(", ")))
        cursor.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608
    cursor.execute("COMMIT")


def _accounts(accounts: range, now: int) -> dict[str, Iterable[Row]]:
    password = passwords.hash_password(PASSWORD, 4)
    return {
        "user (id, uuid, username, password_hash, is_admin, registered_at, token_balance)": (
            (n, uuid("user", n), f"user-{n}", password, 1, now, 10_000) for n in accounts
        ),
        "ledger (user_id, subject, claim, kind, amount, at)": (
            (n, uuid("grant", n), "", "grant", 10_000, now) for n in accounts
        ),
        "session (uuid, user_id, started_at, user_agent)": (
            (uuid("session", n * 3 + k), n, now - k * DAY, "") for n in accounts for k in range(3)
        ),
        "api_token (uuid, user_id, name, key_hash, key_start, key_end, created_at)": (
            (uuid("token", n), n, "key", uuid("key", n), "0123", "cdef", now) for n in accounts
        ),
    }


def _file(number: int, now: int) -> Row:
    names = (f"{number:064x}", f"{number}.mp3", "audio")
    state = CONVERTING if number % 50 == 0 else READY
    owner = number // FILES_PER_USER
    return (uuid("file", number), owner, *names, *state, now - number % 90 * DAY)


def _transcription(number: int, now: int) -> Row:
    key = (owner_of(number), file_of(number), *MODEL, "en" if number % 20 == 0 else "auto")
    waits = ("pending", 0, 0, None, None, None)
    state = ("completed", now, 1, uuid("claim", number), 16_000, number)
    created = now - number % 90 * DAY
    row = (uuid("transcription", number), *key, "srt", created)
    return (*row, *(waits if number % 10 == 0 else state))


def owner_of(transcription: int) -> int:
    return (transcription - 1) // PER_USER + 1


def file_of(transcription: int) -> str:
    return uuid("file", owner_of(transcription) * FILES_PER_USER + transcription % FILES_PER_USER)


def uuid(kind: str, number: int) -> str:
    """Make an identifier whose order is that of the numbers, as it is with real ones."""
    return f"{number:016x}{sum(kind.encode()):016x}"
