"""How much work the common requests are when the database is large.

Work is counted in steps of SQLite's machine, which are the same everywhere, unlike seconds.
"""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.support.engine import FakeEngine
from tests.support.large_database import (
    FILES_PER_USER,
    HEARD,
    LARGE,
    LIKE,
    PER_USER,
    SMALL,
    fill,
    uuid,
)
from tests.support.service import PASSWORD, Api, Service
from whisper_service import db
from whisper_service.jobs import outcomes, queue
from whisper_service.jobs.job import Job
from whisper_service.tables import Transcription

# FTS5's index has more levels when it is large, and merges them at times.
MOST = {"search": 4, "correct": 8}
CORRECTED = {"segments": [{"start": 0, "end": 1, "text": "Hello again"}], "revision": 0}


@dataclass
class Statement:
    sql: str
    params: Any
    steps: int = 0

    @property
    def counts_users(self) -> bool:
        """The total in a list of all users has to look at each of them."""
        return "COUNT(" in self.sql and 'FROM "user"' in self.sql

    @property
    def lists_who_waits(self) -> bool:
        """To serve the users in turn, the worker has to look at all that waits."""
        distinct = self.sql.startswith('SELECT DISTINCT "t1"."user_id"')
        return distinct or 'ROW_NUMBER() OVER (PARTITION BY "t1"."user_id"' in self.sql

    @property
    def stops_early(self) -> bool:
        """Whatever is found first is what is wanted, or all has to be seen."""
        return self.counts_users or ("LIMIT" in self.sql and self.sql.count("WHERE") == 0)

    def plan(self) -> list[str]:
        rows = db.database.execute_sql(f"EXPLAIN QUERY PLAN {self.sql}", self.params)
        return [row[3] for row in rows.fetchall() if row[3] != "SCAN CONSTANT ROW"]


class _Log(logging.Handler):
    def __init__(self, statements: list[Statement]) -> None:
        super().__init__()
        self.statements = statements

    def emit(self, record: logging.LogRecord) -> None:
        assert isinstance(record.msg, tuple)
        self.statements.append(Statement(*record.msg))


@contextmanager
def recorded() -> Iterator[list[Statement]]:
    """Collect what Peewee executes, with the steps of each statement.

    SQLite calls back where it looks up whether to go on: at every jump, so in each row of a loop.
    """
    statements: list[Statement] = []

    def step() -> None:
        if statements:
            statements[-1].steps += 1

    logger, log = logging.getLogger("peewee"), _Log(statements)
    level = logger.level
    logger.addHandler(log)
    logger.setLevel(logging.DEBUG)
    db.database.connection().set_progress_handler(step, 1)
    try:
        yield statements
    finally:
        db.database.connection().set_progress_handler(None, 0)
        logger.setLevel(level)
        logger.removeHandler(log)


class Operations:
    """What clients and the worker do most, on behalf of one user."""

    def __init__(self, service: Service, user: int) -> None:
        self.service = service
        self.user = user
        self.api = Api(service.client, f"Basic {uuid('session', user * 3)}")
        self.transcription = uuid("transcription", user * PER_USER - 3)
        self.file = uuid("file", user * FILES_PER_USER)

    def all(self) -> dict[str, Callable[[], object]]:
        api = self.api
        order = {"uuid": self.file, "model": "ggml-tiny.en", "format": ["srt", "vtt"]}
        return {
            "health": lambda: api.get("/health"),
            "profile": lambda: api.get("/user"),
            "login": lambda: api.post("/user/login", {**self.account, "password": PASSWORD}),
            "sessions": lambda: api.get("/user/session"),
            "tokens": lambda: api.get("/user/token"),
            "poll": lambda: api.get(f"/transcribe/{self.transcription}"),
            "poll of a file": lambda: api.get(f"/transcribe/{self.file}"),
            "transcription list": lambda: api.get("/transcribe?limit=2"),
            "transcription list of a file": lambda: api.get(
                f"/transcribe?limit=2&file={self.file}"
            ),
            "search": lambda: api.get("/search?q=hello"),
            "correct": lambda: api.call(
                "PATCH", f"/transcribe/{self.transcription}", json=CORRECTED
            ),
            "file list": lambda: api.get("/file?limit=2"),
            "admin list": lambda: api.get("/admin/users"),
            "price": lambda: api.call("PATCH", self.priced, json={"price_multiplier": 2}),
            "download": lambda: api.error("GET", f"/file/{self.file}", 404),
            "claim and fail": lambda: self.service.worker.transcribe_once(FakeEngine()),
            "claim and retry": lambda: outcomes.retry(self.claim().claim),
            "claim and put back": lambda: outcomes.put_back(self.claim()),
            "claim and complete": lambda: outcomes.complete(self.claim(), HEARD),
            "complete from store": queue.complete_stored,
            "start": outcomes.requeue_interrupted,
            "extract": self.service.worker.extract_once,
            "extract short": self.service.worker.extract_short_once,
            "encode": self.service.worker.encode_once,
            "submit": lambda: api.post("/transcribe", order),
            "delete transcription": lambda: api.call("DELETE", f"/transcribe/{self.transcription}"),
            "delete file": lambda: api.call("DELETE", f"/file/{self.file}"),
            "delete account": lambda: api.call("DELETE", "/user", json={"password": PASSWORD}),
        }

    @property
    def account(self) -> dict[str, str]:
        return {"username": f"user-{self.user}"}

    @property
    def priced(self) -> str:
        return f"/admin/users/{uuid('user', self.user)}"

    def claim(self) -> Job:
        job = queue.claim_next(self.user + 3)  # one of those with work for an engine
        assert job
        return job

    def record(self) -> dict[str, list[Statement]]:
        found = {}
        for name, operation in self.all().items():
            with recorded() as statements:
                operation()
            assert statements, name
            found[name] = [
                statement
                for statement in statements
                if re.match("SELECT|UPDATE|DELETE|INSERT", statement.sql)
            ]
        return found


@pytest.fixture
def small(service: Service) -> dict[str, list[Statement]]:
    """What is executed on a small database, the first user's operations."""
    db.database.execute_sql("PRAGMA synchronous = OFF")
    fill(range(1, SMALL + 1))
    return Operations(service, 1).record()


def total(statements: list[Statement]) -> int:
    return sum(
        statement.steps
        for statement in statements
        if not (statement.counts_users or statement.lists_who_waits)
    )


def test_every_query_is_served_by_an_index(small: dict[str, list[Statement]]) -> None:
    """Plans do not depend on how much there is: nothing analyses the tables."""
    faults = {
        (name, line, statement.sql)
        for name, statements in small.items()
        for statement in statements
        if not statement.lists_who_waits
        for line in statement.plan()
        if "TEMP B-TREE" in line or (line.startswith("SCAN") and not statement.stops_early)
        if not line.endswith(("VIRTUAL TABLE INDEX 0:><", "VIRTUAL TABLE INDEX 0:M4"))  # FTS5's own
    }
    assert not faults, "\n".join(" | ".join(fault) for fault in sorted(faults))


def test_statistics_read_indexes_alone(small: dict[str, list[Statement]]) -> None:
    counts = [statement for statement in small["admin list"] if "GROUP BY" in statement.sql]
    assert len(counts) == 6
    for statement in counts:
        (line,) = statement.plan()
        assert "USING COVERING INDEX" in line, (line, statement.sql)


@pytest.mark.torture
def test_work_does_not_grow_with_the_database(
    service: Service, small: dict[str, list[Statement]]
) -> None:
    def scan() -> bool:
        return Transcription.select().where(Transcription.attempts == -1).exists()

    with recorded() as before:
        assert not scan()
    fill(range(2 * SMALL + 1, LARGE + 1))
    with recorded() as after:
        assert not scan()
    assert total(after) > 50 * total(before), "the steps of a scan must tell"

    large = Operations(service, 1 + LIKE).record()
    work = {name: (total(small[name]), total(large[name])) for name in small}
    grown = {name: more / max(less, 1) for name, (less, more) in work.items()}
    assert not {name: factor for name, factor in grown.items() if factor > MOST.get(name, 1.2)}, (
        work
    )
