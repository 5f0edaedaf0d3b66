import sqlite3
import threading
from pathlib import Path

import peewee
import pytest

from tests.support.service import Service
from whisper_service import db, tables
from whisper_service.errors import CommandError
from whisper_service.tables import User


def test_tables_have_the_columns_of_the_schema(service: Service) -> None:
    for table in tables.Table.__subclasses__():
        declared = {name: field.null for name, field in table._meta.fields.items()}
        created = {
            column.name: column.null for column in db.database.get_columns(table._meta.table_name)
        }
        created.pop("id", None)
        declared.pop("id", None)
        assert declared == created, table


def test_every_table_is_strict_and_journalled_ahead(service: Service) -> None:
    strict = db.database.execute_sql("SELECT name, strict FROM pragma_table_list").fetchall()
    assert {name for name, is_strict in strict if is_strict} == {
        table._meta.table_name for table in tables.Table.__subclasses__()
    }
    assert db.database.journal_mode == "wal"
    assert db.database.synchronous == 2
    assert db.database.foreign_keys == 1


def test_write_transactions_do_not_nest(service: Service) -> None:
    with (
        db.write_transaction(),
        pytest.raises(RuntimeError, match="does not nest"),
        db.write_transaction(),
    ):
        pass


def test_a_failed_transaction_leaves_nothing(service: Service) -> None:
    service.register("ann")
    with pytest.raises(ZeroDivisionError), db.write_transaction():
        User.update(token_balance=1).execute()
        raise ZeroDivisionError
    assert User.get().token_balance == 1000


def test_the_database_refuses_nonsense(service: Service) -> None:
    service.register("ann")
    for values in ({"token_balance": -1}, {"token_balance": "x"}, {"price_micros": 10**10}):
        with pytest.raises(peewee.IntegrityError), db.write_transaction():
            User.update(values).execute()


def test_writers_take_turns(service: Service) -> None:
    service.register("ann")

    def spend() -> None:
        db.database.connect(reuse_if_open=True)
        for _ in range(25):
            with db.write_transaction():
                balance = User.get().token_balance
                User.update(token_balance=balance - 1).execute()
        db.database.close()

    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert User.get().token_balance == 1000 - 8 * 25


def test_another_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "service.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    with pytest.raises(CommandError, match="schema version 99"):
        db.open_database(path)
    db.database.close()
