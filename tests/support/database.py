"""Reads the database of a service that may be running."""

import sqlite3
from pathlib import Path
from typing import Any


def rows(storage: Path, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(storage / "service.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()
