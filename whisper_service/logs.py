"""Log lines as `key=value` pairs, each with the request that it belongs to."""

import json
import logging
import time
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="")


class _Formatter(logging.Formatter):
    """One line for a record, whatever is in it."""

    converter = time.gmtime  # type: ignore[assignment]

    def format(self, record: logging.LogRecord) -> str:
        pairs = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
            "level": record.levelname.lower(),
            "request": request_id.get(),
            "message": record.getMessage(),
            "trace": self.formatException(record.exc_info) if record.exc_info else "",
        }
        return " ".join(f"{name}={_quoted(value)}" for name, value in pairs.items() if value)


def set_up() -> None:
    """Log to standard error from here on."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # It has a line for each request in a rush, and names paths, which hold the ids of recordings.
    logging.getLogger("waitress").setLevel(logging.ERROR)


def _quoted(value: str) -> str:
    plain = value.isascii() and value.isprintable() and not set(value) & set(' "=')
    return value if plain else json.dumps(value, ensure_ascii=False)
