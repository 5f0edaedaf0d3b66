"""Who is calling: a session id after Basic or an API key after Bearer, both as they are."""

import re
from collections.abc import Callable, Mapping

from flask import Flask, g, request

from whisper_service import api_tokens, ids, sessions
from whisper_service.credentials import GONE
from whisper_service.errors import Forbidden, InvalidRequest, Unauthenticated
from whisper_service.tables import User
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


def authenticate(header: str, session_hours: int) -> tuple[User, str | None]:
    """Find who an Authorization header stands for, and their session unless it is an API key.

    Raises Unauthenticated.
    """
    found = _HEADER.fullmatch(header.strip())
    try:
        secret = ids.parse(found["secret"]) if found else ""
    except InvalidRequest:
        secret = ""
    session = secret if found and found["scheme"].lower() == "basic" else None
    user = sessions.find_user(secret, session_hours) if session else api_tokens.find_user(secret)
    if user is None:
        raise Unauthenticated(GONE)
    return user, session
