"""What must hold of the database and the recordings beside it, whatever was killed when."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from blake3 import blake3
from peewee import JOIN, DatabaseError, fn

from whisper_service.db import database
from whisper_service.files import storage_folder
from whisper_service.files.storage import Storage
from whisper_service.tables import File, LedgerEntry, User

BYTES_PER_SAMPLE = 2


def wrong_balances() -> list[str]:
    """Find the accounts whose balance is not the sum of their ledger."""
    total = fn.COALESCE(fn.SUM(LedgerEntry.amount), 0)
    rows: Any = (
        User.select(User.username, User.token_balance, total.alias("total"))
        .join(LedgerEntry, JOIN.LEFT_OUTER, on=(LedgerEntry.user_id == User.id))
        .group_by(User.id)
        .having(User.token_balance != total)
        .tuples()
    )
    return [f"{name} has {balance} tokens, the ledger says {sum_}" for name, balance, sum_ in rows]


def problems(storage: Storage) -> Iterator[str]:
    """Look at everything, while the service may run; yield a line for each thing that is wrong."""
    try:
        yield from _problems_of_database()
        yield from wrong_balances()
        # Lists, since a query that stays open keeps the write-ahead log from being emptied.
        files: Iterable[File] = list(File.select())
        users: Iterable[User] = list(User.select().where(User.avatar_uuid.is_null(is_null=False)))
        for file in files:
            yield from _lasting_problems_of(file, storage)
        for user in users:
            if not storage.avatar(str(user.avatar_uuid)).is_file():
                yield f"The avatar of {user.username} is missing"
        yield from _permissions(storage.root)
    except (DatabaseError, sqlite3.DatabaseError) as error:  # Peewee's, or raw while rows are read
        yield f"The database is damaged: {error}"


def _problems_of_database() -> Iterator[str]:
    for pragma in ("integrity_check", "foreign_key_check"):
        rows = database.execute_sql(f"PRAGMA {pragma}").fetchall()  # type: ignore[no-untyped-call]
        for row in rows:
            words = " ".join(str(value) for value in row).split()
            if words != ["ok"]:
                yield f"The database is damaged: {pragma}: {' '.join(words)}"


def _permissions(root: Path) -> Iterator[str]:
    if count := sum(1 for _ in storage_folder.exposed(root)):
        yield f"Other users have access to files or folders ({count}): chmod -R go= {root}"


def _lasting_problems_of(file: File, storage: Storage) -> list[str]:
    """Look at a file, and once more if it was deleted or converted meanwhile."""
    found = list(_problems_of(file, storage))
    if found:
        now = File.get_or_none(File.id == file.id)
        found = list(_problems_of(now, storage)) if now else []
    return found


def _problems_of(file: File, storage: Storage) -> Iterator[str]:
    ready = file.status == "ready"
    needed = storage.needed(file.uuid, converted=ready, heard=file.samples is not None)
    sizes = {path: _size(path) for path in needed}
    for path, size in sizes.items():
        if size is None:
            yield f"File {file.uuid}: {path.name} is missing"
    download, speech = needed[0], storage.speech(file.uuid)
    if sizes[download] not in {None, file.size_bytes}:
        yield f"File {file.uuid}: {download.name} has another size than when it was kept"
    elif not ready and sizes[download] is not None and _hash(download) != file.hash:
        yield f"File {file.uuid}: {download.name} has other bytes than were uploaded"
    heard = sizes.get(speech)
    if heard is not None and heard < BYTES_PER_SAMPLE * (file.samples or 0):
        yield f"File {file.uuid}: {speech.name} is not whole"


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _hash(path: Path) -> str | None:
    with suppress(FileNotFoundError):  # deleted just now
        return blake3().update_mmap(path).hexdigest()
    return None
