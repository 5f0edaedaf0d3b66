"""Log lines as `key=value` pairs, each with the request that it belongs to."""

import json
import logging
import re
import time
from contextvars import ContextVar

# Anyone who knows the id of a recording or a session can use it: only its beginning, mostly its
# timestamp, is logged.
_ID = re.compile(r"([0-9a-f]{16})[0-9a-f]{16}")

request_id: ContextVar[str] = ContextVar("request_id", default="")


class _Formatter(logging.Formatter):
    """Formats any record as one line."""

    converter = time.gmtime  # type: ignore[assignment]

    def format(self, record: logging.LogRecord) -> str:
        pairs = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
            "level": record.levelname.lower(),
            "request": request_id.get(),
            "message": _ID.sub(r"\1...", record.getMessage()),
            "trace": _ID.sub(r"\1...", self._trace(record)),
        }
        return " ".join(f"{name}={_quoted(value)}" for name, value in pairs.items() if value)

    def _trace(self, record: logging.LogRecord) -> str:
        return self.formatException(record.exc_info) if record.exc_info else ""


def set_up() -> None:
    """Log to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # It logs each queued request, and paths, which contain the ids of recordings.
    logging.getLogger("waitress").setLevel(logging.ERROR)


def _quoted(value: str) -> str:
    plain = value.isascii() and value.isprintable() and not set(value) & set(' "=')
    return value if plain else json.dumps(value).replace("\x7f", "\\u007f")
