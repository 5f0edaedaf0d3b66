"""Reading of JSON bodies, form fields and query parameters. Raises InvalidRequest for bad ones."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NoReturn

from flask import request

from whisper_service.errors import InvalidRequest

MAX_LIMIT = 100
MAX_PAGE = 10**12


def json_object(*, optional: bool = False, max_bytes: int | None = None) -> dict[str, Any]:
    """Return the body as a JSON object, whatever its content type, and {} if it may be missing.

    It may have `max_bytes`, or else as many as any. Numbers with a fraction are Decimal.
    """
    if max_bytes is not None:
        request.max_content_length = max_bytes
    body = request.get_data()
    if optional and not body:
        return {}
    try:
        parsed = json.loads(body.decode(), parse_constant=_reject_constant, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise InvalidRequest("Invalid JSON body") from error
    if not isinstance(parsed, dict):
        raise InvalidRequest("Invalid JSON body")
    return parsed


def text(body: dict[str, Any], name: str, *, missing: str) -> str:
    """Return a required string. `missing` is the error without it."""
    value = optional_text(body, name)
    if not value:
        raise InvalidRequest(missing)
    return value


def optional_text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} must be a string")
    return storable(value, name)


def texts(body: dict[str, Any], name: str, *, default: str) -> list[str]:
    """Return a list of strings, which may be given as a single one."""
    value = body.get(name)
    if value is None:
        return [default]
    if isinstance(value, str):
        return [storable(value, name)]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidRequest(f"{name} must be a string or a list of strings")
    return [storable(item, name) for item in value]


def optional_integer(body: dict[str, Any], name: str, maximum: int) -> int | None:
    """Return an integer from 0 to `maximum`."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidRequest(f"{name} must be an integer")
    _check_bounds(value, name, maximum)
    return value


def optional_decimal(
    body: dict[str, Any], name: str, maximum: float, *, places: int | None = None
) -> Decimal | None:
    """Return a number from 0 to `maximum` with at most that many decimal places, if limited."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        raise InvalidRequest(f"{name} must be a number")
    _check_bounds(value, name, maximum)
    number = Decimal(value)
    if places is not None and number != round(number, places):
        raise InvalidRequest(f"{name} must have at most {places} decimal places")
    return number


def optional_bool(body: dict[str, Any], name: str) -> bool:
    """Return a boolean; false if it is missing."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest(f"{name} must be true or false")
    return bool(value)


def query_integer(name: str, maximum: int) -> int | None:
    """Return an integer from 1 to `maximum` from the query; None if it is missing."""
    value = _query_integer(name, 0)
    if value == 0 and name not in request.args:
        return None
    if value is None or not 1 <= value <= maximum:
        raise InvalidRequest(f"{name} must be an integer between 1 and {maximum}")
    return value


def page(default_limit: int = 10) -> tuple[int, int]:
    """Return the number of the requested page and the number of rows on a page."""
    number = _query_integer("page", 1)
    if number is None or not 1 <= number <= MAX_PAGE:
        raise InvalidRequest("page must be a positive integer")
    limit = _query_integer("limit", default_limit)
    if limit is None or not 1 <= limit <= MAX_LIMIT:
        raise InvalidRequest(f"limit must be an integer between 1 and {MAX_LIMIT}")
    return number, limit


def flag(name: str, values: Mapping[str, str] | None = None) -> bool:
    """Return a boolean from the query or from a form's `values`; false if it is missing."""
    value = (request.args if values is None else values).get(name, "false").lower()
    if value not in {"true", "false", "1", "0"}:
        raise InvalidRequest(f"{name} must be true or false")
    return value in {"true", "1"}


def _query_integer(name: str, default: int) -> int | None:
    """Return a non-negative integer from the query; None if the value isn't one."""
    value = request.args.get(name)
    if value is None:
        return default
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 16 else None


def _check_bounds(value: int | Decimal, name: str, maximum: float) -> None:
    if value < 0:
        raise InvalidRequest(f"{name} must be non-negative")
    if value > maximum:
        raise InvalidRequest(f"{name} must be at most {maximum}")


def storable(value: str, name: str) -> str:
    """Reject what a database or file cannot store: lone surrogates and NUL."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{name} must be valid text") from error
    if "\0" in value:
        raise InvalidRequest(f"{name} must be valid text")
    return value


def _reject_constant(constant: str) -> NoReturn:
    """Reject NaN and Infinity, which Python accepts although JSON has neither."""
    raise ValueError(constant)
