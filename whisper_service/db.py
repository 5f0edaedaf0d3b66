"""The database: one SQLite file in WAL mode, a connection per thread, one writer at a time."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peewee import SqliteDatabase

from whisper_service.errors import CommandError

SCHEMA = Path(__file__).parent.parent / "schema.sql"
VERSION = 1
PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": "full",  # a commit that was acknowledged survives a power cut
    "foreign_keys": 1,
    "busy_timeout": 10_000,
    "journal_size_limit": 64 * 1024**2,
    "trusted_schema": 0,
}

database = SqliteDatabase(None)

# SQLite before 3.51.3 can lose a commit when a checkpoint races a writer that resets the log
# (sqlite.org/wal.html#walresetbug). Checkpoints run inside commits, so this lock keeps them apart.
_writer = threading.Lock()


def open_database(path: Path) -> None:
    """Open the file, creating it from schema.sql when it is new.

    Raises CommandError for a file that another version wrote or that is not a database.
    """
    database.init(str(path), pragmas=PRAGMAS)
    database.connect()
    version = database.user_version
    if version == 0 and not database.get_tables():
        script = SCHEMA.read_text(encoding="utf-8")
        connection: sqlite3.Connection = database.connection()  # type: ignore[no-untyped-call]
        connection.executescript(f"BEGIN IMMEDIATE; {script} COMMIT;")
    elif version != VERSION:
        raise CommandError(
            f"The database has schema version {version}, this service needs {VERSION}"
        )


@contextmanager
def write_transaction() -> Iterator[None]:
    """Hold the write lock from the first read to the commit; roll back on any exception.

    Raises RuntimeError when nested: Peewee would quietly make it a savepoint, and the outer
    transaction might have read before it held the lock.
    """
    if database.in_transaction():
        raise RuntimeError("write_transaction() does not nest")
    with _writer, database.atomic("IMMEDIATE"):
        yield
