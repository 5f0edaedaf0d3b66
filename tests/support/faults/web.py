"""Faults in the web and the server."""

import logging
import math
from collections.abc import Callable
from typing import Any, NoReturn
from uuid import UUID

from peewee import OperationalError

from whisper_service import ids, logs
from whisper_service.accounts import api_keys, passwords
from whisper_service.server import parser, server
from whisper_service.server.admission import Admission
from whisper_service.web.asr import query
from whisper_service.web.route_options import Pool


def set_deadlines(seconds: float) -> None:
    parser.HEADER_SECONDS = parser.BODY_SECONDS = seconds


def wait_for_ever() -> None:
    """Allow as few connections as waitress does by default, and no deadlines."""
    set_deadlines(math.inf)
    server.MAX_CONNECTIONS = 100


def share_one_pool() -> None:
    Admission.pool = lambda *_: Pool.SHORT


def know_names() -> None:
    passwords.burn_time = lambda *_: None


def trust_ids() -> None:
    """Raise an unexpected error for a malformed id."""
    ids.parse = lambda text: UUID(text).hex


def keep_bodies_in_memory() -> None:
    create = server.create_server

    def greedy(*arguments: Any, **more: Any) -> Any:
        return create(*arguments, **more, inbuf_overflow=2**40)

    server.create_server = greedy


def log_all() -> None:
    """Log all that waitress has to say."""
    set_up = logs.set_up

    def and_waitress() -> None:
        set_up()
        logging.getLogger("waitress").setLevel(logging.DEBUG)

    logs.set_up = and_waitress


def fail(error: Exception) -> Callable[..., NoReturn]:
    def raise_it(*_: object) -> NoReturn:
        raise error

    return raise_it


def fail_in_a_route() -> None:
    log_all()
    query.read = fail(RuntimeError("a fault"))


def fail_in_the_database() -> None:
    log_all()
    api_keys.find_user = fail(OperationalError("disk I/O error"))


FAULTS: dict[str, Callable[[], None]] = {
    "no deadlines": wait_for_ever,
    "one pool": share_one_pool,
    "known names take longer": know_names,
    "ids trusted": trust_ids,
    "bodies in memory": keep_bodies_in_memory,
    "all is logged": log_all,
    "a route fails": fail_in_a_route,
    "the database fails": fail_in_the_database,
}
