"""The database: one SQLite file in WAL mode, a connection per thread, one writer at a time."""

import errno
import fcntl
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from peewee import DatabaseError, SqliteDatabase

from whisper_service.errors import CommandError
from whisper_service.transcripts import search_words

SCHEMA = Path(__file__).parent.parent / "schema.sql"
# N.sql migrates a database from version N - 1 to N. The result equals what schema.sql creates.
MIGRATIONS = Path(__file__).parent / "migrations"
VERSION = 6
PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": "full",  # a commit that was acknowledged survives a power cut
    "foreign_keys": 1,
    "busy_timeout": 10_000,
    "journal_size_limit": 64 * 1024**2,
    "trusted_schema": 0,
}


class _Database(SqliteDatabase):
    def rollback(self) -> None:
        """Roll back, unless SQLite did it by itself, as on a full disk."""
        if self.connection().in_transaction:  # type: ignore[no-untyped-call]
            super().rollback()


database = _Database(None)

# SQLite before 3.51.3 can lose a commit when a checkpoint races a writer that resets the log
# (sqlite.org/wal.html#walresetbug). Checkpoints run inside commits, so one writer at a time keeps
# them apart: a lock for this process's threads, and one on a file for commands beside the service.
_writer = threading.Lock()
WRITE_LOCK = "write.lock"

logger = logging.getLogger(__name__)


def open_database(path: Path, *, create: bool = True, migrate: bool = True) -> None:
    """Open the database. A new one is created, an older one is backed up and migrated.

    `create` and `migrate` allow that: a folder with recordings must have a database, and only the
    folder's owner migrates it. Raises CommandError, and leaves the file as it is, if it needs what
    is not allowed, was written by a newer version, or is not a database of this service.
    """
    database.init(str(path), pragmas=PRAGMAS)
    try:
        with _only_writing_process():
            version = _read_version(path)
            _check_version(path, version, create=create, migrate=migrate)
            database.connect()
            _create_or_migrate(path, version)
    except (DatabaseError, sqlite3.Error) as error:
        database.close()
        raise CommandError(f"The database {path.name} cannot be used: {error}") from error
    except BaseException:
        database.close()
        raise


def snapshot(source: Path, target: Path) -> None:
    """Copy a database, which may be in use, in a consistent state; the copy is safe on disk.

    Raises CommandError when the copy fails or is damaged.
    """
    part = target.with_name(f"{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(source, timeout=10, isolation_level=None)) as connection:
            connection.execute("VACUUM INTO ?", (str(part),))
        with closing(sqlite3.connect(part)) as copy:
            (verdict,) = copy.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as error:
        part.unlink(missing_ok=True)
        raise CommandError(f"The database cannot be copied: {error}") from error
    if verdict != "ok":
        raise CommandError(f"The copy of the database is damaged: {verdict}")
    with part.open("rb") as file:
        os.fsync(file.fileno())
    part.replace(target)


def is_full(error: Exception) -> bool:
    """Return whether an error means that the disk is full."""
    if isinstance(error, OSError):
        return error.errno in {errno.ENOSPC, errno.EDQUOT}
    original = getattr(error, "orig", error)  # Peewee's errors carry sqlite3's own
    return getattr(original, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _read_version(path: Path) -> int:
    """Return the schema's version, 0 for a new or empty file; reject a foreign one.

    The file is opened read-only: the service's own connection would write to it.
    """
    if not path.exists():
        return 0
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        is_empty = not connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
    if version == 0 and not is_empty:
        raise CommandError(f"The database {path.name} does not belong to this service")
    return version


def _check_version(path: Path, version: int, *, create: bool, migrate: bool) -> None:
    if version == 0 and not create:
        raise CommandError(
            f"{path.parent} holds recordings, but {path.name} is missing or empty: restore it, or "
            "move the recordings away"
        )
    if 0 < version < VERSION and not migrate:
        raise CommandError(
            f"The database has schema version {version}: start the service once, which migrates it "
            f"to {VERSION}"
        )
    if not 0 <= version <= VERSION:
        raise CommandError(
            f"The database has schema version {version}, but this service supports up to {VERSION}"
        )


def _create_or_migrate(path: Path, version: int) -> None:
    if version == 0:
        _execute_script(SCHEMA.read_text(encoding="utf-8"))
    if version in {0, VERSION}:
        return
    kept = path.with_name(f"service-v{version}.db")
    snapshot(path, kept)
    steps = [MIGRATIONS / f"{step}.sql" for step in range(version + 1, VERSION + 1)]
    script = "".join(step.read_text(encoding="utf-8") for step in steps)
    with _foreign_keys_off():
        _execute_script(f"{script} PRAGMA user_version = {VERSION};")
    logger.info(
        "The database was migrated to schema version %d; the old one is %s", VERSION, kept.name
    )


@contextmanager
def _foreign_keys_off() -> Iterator[None]:
    """Disable foreign keys: dropping a table in a migration would delete rows that refer to it."""
    connection: sqlite3.Connection = database.connection()  # type: ignore[no-untyped-call]
    connection.execute("PRAGMA foreign_keys = 0")
    try:
        yield
    finally:
        connection.execute("PRAGMA foreign_keys = 1")


def _execute_script(script: str) -> None:
    """Execute a script in one transaction."""
    connection: sqlite3.Connection = database.connection()  # type: ignore[no-untyped-call]
    connection.create_function("search_words", 2, search_words.indexed, deterministic=True)
    try:
        connection.executescript(f"BEGIN IMMEDIATE; {script} COMMIT;")
    except BaseException:
        connection.rollback()
        raise


@contextmanager
def write_transaction() -> Iterator[None]:
    """Hold the write lock from the first read to the commit; roll back on any exception.

    Raises RuntimeError when nested: Peewee would silently use a savepoint, and the outer
    transaction might have read before it held the lock.
    """
    if database.in_transaction():
        raise RuntimeError("write_transaction() does not nest")
    with _writer, _only_writing_process(), database.atomic("IMMEDIATE"):
        yield


@contextmanager
def _only_writing_process() -> Iterator[None]:
    path = Path(database.database).with_name(WRITE_LOCK)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
