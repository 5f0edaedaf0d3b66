"""Reading what a client sent. Whatever is wrong with it becomes a 400 that says so."""

import json
from typing import Any, NoReturn

from flask import request

from whisper_service.errors import InvalidRequest


def json_object(*, optional: bool = False) -> dict[str, Any]:
    """Read the body as a JSON object, whatever type it claims to be. No body can be allowed."""
    body = request.get_data()
    if optional and not body:
        return {}
    try:
        parsed = json.loads(body.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
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


def flag(name: str) -> bool:
    """Read a switch of the query: true or false, false without one."""
    value = request.args.get(name, "false").lower()
    if value not in {"true", "false", "1", "0"}:
        raise InvalidRequest(f"{name} must be true or false")
    return value in {"true", "1"}


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
