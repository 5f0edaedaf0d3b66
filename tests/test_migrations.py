"""Databases of older and newer services, and files that are none."""

import itertools
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import failure
from tests.support.live import measured
from tests.support.paths import DATA, ROOT
from whisper_service import db, search_index
from whisper_service.errors import CommandError
from whisper_service.jobs import search
from whisper_service.tables import Transcription

OLD_VERSIONS = (1, 2, 3, 4, 5)
KEPT = ("user", "session", "api_token", "file", "transcript", "transcription", "ledger")

# Opens a database, and kills itself where the so many-th statement of its migration would begin.
KILLED = """
import os, signal, sys
from pathlib import Path
from whisper_service import db, search_index

path, left, broken = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
bring, execute = db._create_or_migrate, db._execute_script

def count(_statement):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

def watched(*arguments):
    db.database.connection().set_trace_callback(count)
    bring(*arguments)

def one_by_one(script):
    db.database.connection().executescript(script)

db._create_or_migrate = watched
if broken:
    db._execute_script = one_by_one
db.open_database(path)
"""


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    if not db.database.deferred:  # a test may open none
        db.database.close()


def make(path: Path, schema: Path, then: str = "") -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"PRAGMA journal_mode = wal; {schema.read_text()} {then}")
    return path


def make_old(path: Path, version: int) -> Path:
    return make(path, old_schema(version), (DATA / f"rows-{version}.sql").read_text())


def old_schema(version: int) -> Path:
    return DATA / f"schema-{version}.sql"


def ask(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def shape(path: Path) -> dict[str, Any]:
    """Return all that SQLite knows of the tables, whatever SQL created them."""
    found: dict[str, Any] = {"version": ask(path, "PRAGMA user_version")}
    for _, table, *kind in ask(path, "PRAGMA table_list"):
        pragmas = {
            pragma: ask(path, f"PRAGMA {pragma}({table})")
            for pragma in ("table_xinfo", "foreign_key_list")
        }
        indexes = {
            (name, *rest): ask(path, f"PRAGMA index_xinfo({name})")
            for _, name, *rest in ask(path, f"PRAGMA index_list({table})")
        }
        found[table] = (kind, pragmas, {str(key): value for key, value in indexes.items()})
    triggers = ask(path, "SELECT name, tbl_name, sql FROM sqlite_schema WHERE type = 'trigger'")
    found["triggers"] = [(*names, sql.split()) for *names, sql in triggers]
    return found


def rows(path: Path, version: int) -> dict[str, list[tuple[Any, ...]]]:
    """Read the columns that an old version had."""
    old = sqlite3.connect(":memory:")
    with closing(old):
        old.executescript(old_schema(version).read_text())
        columns = {
            table: ", ".join(row[1] for row in old.execute(f"PRAGMA table_info({table})"))
            for table in KEPT
        }
    select = "SELECT {} FROM {}"
    return {table: ask(path, select.format(columns[table], table)) for table in KEPT}


def contents(folder: Path) -> dict[str, bytes]:
    """Read every file but an empty log and its index, which SQLite makes whenever it reads."""
    files = [path for path in folder.iterdir() if path.is_file() and path.suffix != ".db-shm"]
    return {path.name: found for path in files if (found := path.read_bytes())}


@pytest.mark.parametrize("version", OLD_VERSIONS)
def test_an_old_database_comes_to_be_as_a_new_one(tmp_path: Path, version: int) -> None:
    new, old = tmp_path / "new.db", make_old(tmp_path / "service.db", version)
    db.open_database(new)
    db.database.close()
    before = rows(old, version)
    assert all(before.values())
    db.open_database(old)
    assert db.database.execute_sql("PRAGMA foreign_keys").fetchone() == (1,)
    db.database.close()
    assert shape(old) == shape(new)
    assert rows(old, version) == before
    assert ask(old, "PRAGMA integrity_check") == [("ok",)]
    assert ask(old, "PRAGMA foreign_key_check") == []
    kept = tmp_path / f"service-v{version}.db"
    assert ask(kept, "PRAGMA user_version") == [(version,)]
    assert rows(kept, version) == before


def test_what_was_transcribed_before_can_be_searched(tmp_path: Path) -> None:
    db.open_database(make_old(tmp_path / "service.db", 4))
    for searched, text in (("koln", "Köln am Rhein."), ("大学", "東京大学")):
        (hit,) = search.find(1, searched, 1, 10).rows
        assert (hit.text, hit.transcription_uuid) == (text, f"{10:032x}")
    assert search.find(2, "koln", 1, 10).rows == []
    with db.write_transaction():
        Transcription.delete().where(Transcription.id == 4).execute()
        assert search_index.remove_deleted() == 2
    assert search.find(1, "koln", 1, 10).total == 0


@pytest.mark.parametrize("version", [*OLD_VERSIONS, 0])
def test_the_id_of_a_deleted_row_is_never_given_again(tmp_path: Path, version: int) -> None:
    path = tmp_path / "service.db"
    if version:
        make_old(path, version)
    db.open_database(path)
    values = "(uuid, username, password_hash, registered_at)"
    insert = f"INSERT INTO user {values} VALUES (lower(hex(randomblob(16))), ?, 'x', 0)"  # noqa: S608
    with db.write_transaction():
        first = db.database.execute_sql(insert, ("bob",)).lastrowid
        db.database.execute_sql("DELETE FROM user")
    with db.write_transaction():
        assert db.database.execute_sql(insert, ("eve",)).lastrowid > first
    tables = ask(
        path, "SELECT sql FROM sqlite_schema WHERE sql LIKE '%    id %INTEGER PRIMARY KEY%'"
    )
    assert len(tables) == 9
    assert all("AUTOINCREMENT" in sql for (sql,) in tables)


def test_an_error_gets_its_code(tmp_path: Path) -> None:
    old = make_old(tmp_path / "service.db", 3)
    db.open_database(old)
    db.database.close()
    codes = ask(old, "SELECT error, error_code FROM transcription ORDER BY id")
    assert codes == [
        (None, None),
        ("Insufficient token balance. Required: 11, Available: 3", "insufficient_balance"),
        ("The recording could not be decoded", None),
    ]


def test_the_first_databases_lacked_two_indexes(tmp_path: Path) -> None:
    new, old = tmp_path / "new.db", make_old(tmp_path / "service.db", 1)
    ask(old, "DROP INDEX file_of_user")
    ask(old, "DROP INDEX transcription_by_status_and_user")
    for path in (new, old):
        db.open_database(path)
        db.database.close()
    assert shape(old) == shape(new)


def test_a_database_that_is_up_to_date_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "service.db"
    for _ in range(2):
        db.open_database(path)
        db.database.close()
    assert set(contents(tmp_path)) == {"service.db"}


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_newer_database_is_refused_and_not_touched(tmp_path: Path, journal: str) -> None:
    made, theirs = make(tmp_path / "made.db", db.SCHEMA), tmp_path / "theirs"
    theirs.mkdir()
    with closing(sqlite3.connect(made)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.executescript("PRAGMA user_version = 99; CREATE TABLE theirs (x);")
        for path in tmp_path.glob("made.db*"):  # as a kill leaves them, the log not merged
            shutil.copy(path, theirs / path.name.replace("made", "service"))
    before = contents(theirs)
    assert ("service.db-wal" in before) == (journal == "wal")
    with pytest.raises(CommandError, match="schema version 99, but this service supports up to"):
        db.open_database(theirs / "service.db")
    assert contents(theirs) == before


def test_a_file_that_is_no_database_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "service.db").write_text("a letter\n" * 1000)
    before = contents(tmp_path)
    storage = {"WHISPER_SERVICE_STORAGE_PATH": str(tmp_path), "WHISPER_SERVICE_SERVER_PORT": "0"}
    line = "error: The database service.db cannot be used: file is not a database"
    assert failure(**storage) == line
    assert failure("check", **storage) == line
    assert contents(tmp_path) == before


def test_somebody_elses_database_is_refused(tmp_path: Path) -> None:
    path = make(tmp_path / "service.db", DATA / "schema-1.sql", "PRAGMA user_version = 0;")
    before = contents(tmp_path)
    with pytest.raises(CommandError, match="does not belong to this service"):
        db.open_database(path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("command", [["check"], ["create-admin", "root"]])
def test_beside_a_service_that_may_run_nothing_is_migrated(
    tmp_path: Path, command: list[str]
) -> None:
    make_old(tmp_path / "service.db", 1)
    before = contents(tmp_path)
    line = failure(*command, WHISPER_SERVICE_STORAGE_PATH=str(tmp_path))
    assert line.startswith("error: The database has schema version 1: start the service once")
    assert contents(tmp_path) == before


def test_no_new_database_is_made_for_recordings_that_are_there(tmp_path: Path) -> None:
    recording = tmp_path / "files" / ("0" * 32) / "original"
    recording.parent.mkdir(parents=True)
    recording.write_bytes(b"the only copy")
    storage = {"WHISPER_SERVICE_STORAGE_PATH": str(tmp_path), "WHISPER_SERVICE_SERVER_PORT": "0"}
    for _ in range(2):  # without service.db, then with one that is empty
        for command in ([], ["create-admin", "root"]):
            assert "holds recordings, but service.db is missing" in failure(*command, **storage)
        (tmp_path / "service.db").touch()
    assert recording.exists()


def attack(folder: Path, statement: int, *, version: int = 2, broken: str = "") -> bool:
    """Kill a migration before its n-th statement; return whether it got that far.

    Either the old or the new database has to be there, and a start has to lead to the new one.
    """
    folder.mkdir()
    new, old = folder / "new.db", make_old(folder / "service.db", version)
    db.open_database(new)
    db.database.close()
    first, before = shape(old), rows(old, version)
    program = [sys.executable, "-c", KILLED, str(old), str(statement), broken]
    done = subprocess.run(program, cwd=ROOT, env=measured(), check=False, timeout=60)
    assert done.returncode in {0, -signal.SIGKILL}
    assert shape(old) in (first, shape(new))
    assert rows(old, version) == before
    db.open_database(old)
    db.database.close()
    assert shape(old) == shape(new)
    assert rows(old, version) == rows(folder / f"service-v{version}.db", version) == before
    return done.returncode != 0


@pytest.mark.parametrize(
    "statement", [2, 9, 53, 60], ids=["early", "in version 3", "in version 4", "in version 5"]
)
def test_a_migration_that_is_killed_leaves_the_old_or_the_new(
    tmp_path: Path, statement: int
) -> None:
    assert attack(tmp_path / "killed", statement)


@pytest.mark.torture
def test_a_migration_may_be_killed_before_every_statement(tmp_path: Path) -> None:
    attacks = (attack(tmp_path / str(number), number) for number in itertools.count(1))
    assert len(list(itertools.takewhile(bool, attacks))) > 51


@pytest.mark.torture
def test_the_test_detects_a_migration_in_several_transactions(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        attack(tmp_path / "broken", 9, broken="one by one")
