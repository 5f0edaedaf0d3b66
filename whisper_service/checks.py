"""What must hold of the database and the recordings beside it, whatever was killed when."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from blake3 import blake3
from peewee import JOIN, fn

from whisper_service.db import database
from whisper_service.storage import Storage
from whisper_service.tables import File, LedgerEntry, User


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
    """Look at everything; yield a line for each thing that is wrong."""
    for pragma in ("integrity_check", "foreign_key_check"):
        for row in database.execute_sql(f"PRAGMA {pragma}"):  # type: ignore[no-untyped-call]
            if row != ("ok",):
                yield f"The database is damaged: {row}"
    yield from wrong_balances()
    files: Iterable[File] = File.select()
    for file in files:
        yield from _problems_of(file, storage)


def _problems_of(file: File, storage: Storage) -> Iterator[str]:
    if file.status == "ready":
        needed = [storage.converted(file.uuid), storage.speech(file.uuid)]
    else:
        needed = [storage.original(file.uuid)]
    for path in needed:
        if not path.is_file():
            yield f"File {file.uuid}: {path.name} is missing"
    download = needed[0]
    if download.is_file() and download.stat().st_size != file.size_bytes:
        yield f"File {file.uuid}: {download.name} has another size than when it was kept"
    elif file.status != "ready" and download.is_file() and _hash(download) != file.hash:
        yield f"File {file.uuid}: {download.name} has other bytes than were uploaded"


def _hash(path: Path) -> str:
    return blake3().update_mmap(path).hexdigest()
