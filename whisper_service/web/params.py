"""Reading what a client sent. Whatever is wrong with it becomes a 400 that says so."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NoReturn

from flask import request

from whisper_service.errors import InvalidRequest

MAX_LIMIT = 100
MAX_PAGE = 10**12


def json_object(*, optional: bool = False) -> dict[str, Any]:
    """Read the body as a JSON object, whatever type it claims to be. No body can be allowed.

    Numbers with a fraction come as Decimal, as they were written.
    """
    body = request.get_data()
    if optional and not body:
        return {}
    try:
        parsed = json.loads(body.decode(), parse_constant=_refuse, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise InvalidRequest("Invalid JSON body") from error
    if not isinstance(parsed, dict):
        raise InvalidRequest("Invalid JSON body")
    return parsed


def text(body: dict[str, Any], name: str, *, missing: str) -> str:
    """Read a text field that has to be there; `missing` is what to say when it is not."""
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
    return _checked(value, name)


def texts(body: dict[str, Any], name: str, *, default: str) -> list[str]:
    """Read one text or a list of them."""
    value = body.get(name)
    if value is None:
        return [default]
    if isinstance(value, str):
        return [_checked(value, name)]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidRequest(f"{name} must be a string or a list of strings")
    return [_checked(item, name) for item in value]


def optional_whole(body: dict[str, Any], name: str, most: int) -> int | None:
    """Read a whole number from 0 to `most`."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidRequest(f"{name} must be an integer")
    _check_bounds(value, name, most)
    return value


def optional_decimal(
    body: dict[str, Any], name: str, most: float, *, places: int
) -> Decimal | None:
    """Read a number from 0 to `most` that is exact with so many decimal places."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        raise InvalidRequest(f"{name} must be a number")
    _check_bounds(value, name, most)
    number = Decimal(value)
    if number != round(number, places):
        raise InvalidRequest(f"{name} must have at most {places} decimal places")
    return number


def optional_bool(body: dict[str, Any], name: str) -> bool:
    """Read a switch of the body, false without one."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest(f"{name} must be true or false")
    return bool(value)


def query_whole(name: str, most: int) -> int | None:
    """Read a whole number from 1 to `most` out of the query, if it is there."""
    value = _query_whole(name, 0)
    if value == 0 and name not in request.args:
        return None
    if value is None or not 1 <= value <= most:
        raise InvalidRequest(f"{name} must be an integer between 1 and {most}")
    return value


def page(default_limit: int = 10) -> tuple[int, int]:
    """Read which page of a list is wanted, and how many rows a page has."""
    number = _query_whole("page", 1)
    if number is None or not 1 <= number <= MAX_PAGE:
        raise InvalidRequest("page must be a positive integer")
    limit = _query_whole("limit", default_limit)
    if limit is None or not 1 <= limit <= MAX_LIMIT:
        raise InvalidRequest(f"limit must be an integer between 1 and {MAX_LIMIT}")
    return number, limit


def flag(name: str, values: Mapping[str, str] | None = None) -> bool:
    """Read a switch of the query, or of a form's `values`: true or false, false without one."""
    value = (request.args if values is None else values).get(name, "false").lower()
    if value not in {"true", "false", "1", "0"}:
        raise InvalidRequest(f"{name} must be true or false")
    return value in {"true", "1"}


def _query_whole(name: str, default: int) -> int | None:
    """Read a short run of digits out of the query; None for anything else."""
    value = request.args.get(name)
    if value is None:
        return default
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 16 else None


def _check_bounds(value: int | Decimal, name: str, most: float) -> None:
    if value < 0:
        raise InvalidRequest(f"{name} must be non-negative")
    if value > most:
        raise InvalidRequest(f"{name} must be at most {most}")


def _checked(value: str, name: str) -> str:
    """Refuse what no database or file can hold: lone surrogates and NUL."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(f"{name} must be valid text") from error
    if "\0" in value:
        raise InvalidRequest(f"{name} must be valid text")
    return value


def _refuse(constant: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python reads although JSON has none."""
    raise ValueError(constant)
