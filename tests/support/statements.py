"""The SQL statements that Peewee executes."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class _Handler(logging.Handler):
    def __init__(self, act: Callable[[str], object]) -> None:
        super().__init__()
        self._act = act
        self.lock = None  # `act` may wait for another thread, which executes statements as well

    def emit(self, record: logging.LogRecord) -> None:
        self._act(record.msg[0])


@contextmanager
def before_statements(act: Callable[[str], object]) -> Iterator[None]:
    """Call `act` with each SQL statement just before it is executed."""
    logger, handler = logging.getLogger("peewee"), _Handler(act)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)
