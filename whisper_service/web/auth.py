"""Who is calling: a session id after Basic or an API key after Bearer, both as they are."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress

from flask import Flask, g, request

from whisper_service import ids
from whisper_service.accounts import api_keys, sessions
from whisper_service.credentials import MISSING
from whisper_service.errors import Forbidden, InvalidRequest, Unauthenticated
from whisper_service.tables import User
from whisper_service.web.limits import network_of
from whisper_service.web.services import services

# Werkzeug's own parser takes a Basic value for base64, and fails on some.
_HEADER = re.compile(r"(?P<scheme>basic|bearer) +(?P<secret>\S+)", re.IGNORECASE)


def register(app: Flask, policies: Mapping[str, Callable[[], None]]) -> None:
    """Apply to each blueprint, by its name, the policy that it was given."""

    def check() -> None:
        if request.blueprint is not None:
            policies[request.blueprint]()

    app.before_request(check)


def anyone() -> None:
    """Let everybody in."""


def user() -> None:
    """Let in whoever shows a live session or API key. Raises Unauthenticated."""
    header = request.headers.get("Authorization", "")
    g.user, g.session = authenticate(header, services().config.auth.session_hours)


def admin() -> None:
    """Let in an administrator. Raises Unauthenticated or Forbidden."""
    user()
    if not current_user().is_admin:
        raise Forbidden("Access denied. Admin privileges required")


def current_user() -> User:
    caller: User = g.user
    return caller


def current_session() -> str | None:
    """Return the id of the session that the caller showed; None for an API key."""
    session: str | None = g.session
    return session


def current_credential() -> str:
    """Return the id of the session or the API key that the caller showed, however it is spelled."""
    return _secret(request.headers.get("Authorization", ""))[1]


def current_network() -> str:
    """Return what the caller's address counts as in limits."""
    return network_of(request.remote_addr or "")


def authenticate(header: str, session_hours: int) -> tuple[User, str | None]:
    """Find who an Authorization header stands for, and their session unless it is an API key.

    Raises Unauthenticated.
    """
    scheme, secret = _secret(header)
    session = secret if scheme == "basic" else None
    user = sessions.find_user(secret, session_hours) if session else api_keys.find_user(secret)
    if user is None:
        raise Unauthenticated(MISSING)
    return user, session


def _secret(header: str) -> tuple[str, str]:
    """Return the scheme and the id in an Authorization header, both empty if it has none."""
    found = _HEADER.fullmatch(header.strip())
    if found:
        with suppress(InvalidRequest):
            return found["scheme"].lower(), ids.parse(found["secret"])
    return "", ""
