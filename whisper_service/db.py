"""The database: one SQLite file in WAL mode, a connection per thread, one writer at a time."""

import errno
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from peewee import DatabaseError, OperationalError, SqliteDatabase

from whisper_service.errors import CommandError

SCHEMA = Path(__file__).parent.parent / "schema.sql"
# N.sql takes a database from version N - 1 to N, and leaves what schema.sql makes.
MIGRATIONS = Path(__file__).parent / "migrations"
VERSION = 2
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


logger = logging.getLogger(__name__)


def open_database(path: Path) -> None:
    """Open the file: a new one is made from schema.sql, an older one is migrated after a backup.

    Raises CommandError, and leaves the file as it is, when a newer service wrote it or when it is
    no database.
    """
    database.init(str(path), pragmas=PRAGMAS)
    try:
        database.connect()
        _bring_up_to_date(path)
    except DatabaseError as error:
        raise CommandError(f"The database {path.name} cannot be used: {error}") from error
    except BaseException:
        database.close()
        raise


def snapshot(source: Path, target: Path) -> None:
    """Copy a database, which may be in use, as it is at one moment; the copy is safe on disk.

    Raises CommandError when the copy is not sound.
    """
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    with closing(sqlite3.connect(source, timeout=10, isolation_level=None)) as connection:
        connection.execute("VACUUM INTO ?", (str(part),))
    with closing(sqlite3.connect(part)) as copy:
        (verdict,) = copy.execute("PRAGMA integrity_check").fetchone()
    if verdict != "ok":
        raise CommandError(f"The copy of the database is damaged: {verdict}")
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(target)


def is_full(error: Exception) -> bool:
    """Tell whether an error means that the disk has no room."""
    if isinstance(error, OSError):
        return error.errno in {errno.ENOSPC, errno.EDQUOT}
    return isinstance(error, OperationalError) and "full" in str(error)


def _bring_up_to_date(path: Path) -> None:
    version = database.user_version
    if version == 0 and not database.get_tables():
        _execute_script(SCHEMA)
        return
    if not 1 <= version <= VERSION:
        raise CommandError(
            f"The database has schema version {version}, but this service knows up to {VERSION}"
        )
    if version == VERSION:
        return
    kept = path.with_name(f"service-v{version}.db")
    snapshot(path, kept)
    for step in range(version + 1, VERSION + 1):
        _execute_script(MIGRATIONS / f"{step}.sql", f"PRAGMA user_version = {step};")
        logger.info("The database has schema version %d now; the old one is %s", step, kept.name)


def _execute_script(path: Path, then: str = "") -> None:
    """Execute a script in one transaction."""
    connection: sqlite3.Connection = database.connection()  # type: ignore[no-untyped-call]
    script = path.read_text(encoding="utf-8")
    try:
        connection.executescript(f"BEGIN IMMEDIATE; {script} {then} COMMIT;")
    except BaseException:
        connection.rollback()
        raise


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
