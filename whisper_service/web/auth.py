"""Authentication: `Basic` with a session id or `Bearer` with an API key, neither encoded."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress

from flask import Flask, g, request

from whisper_service import ids
from whisper_service.accounts import api_keys, sessions
from whisper_service.credentials import MISSING, require_admin
from whisper_service.errors import InvalidRequest, Unauthenticated
from whisper_service.tables import User
from whisper_service.web.limits import network_of
from whisper_service.web.services import services

# Werkzeug's parser expects base64 after Basic.
_HEADER = re.compile(r"(?P<scheme>basic|bearer) +(?P<secret>\S+)", re.IGNORECASE)


def register(app: Flask, policies: Mapping[str, Callable[[], None]]) -> None:
    """Run a policy, given by the name of the blueprint, before each request to that blueprint."""

    def check() -> None:
        if request.blueprint is not None:
            policies[request.blueprint]()

    app.before_request(check)


def anyone() -> None:
    """Allow every caller."""


def user() -> None:
    """Allow callers with a valid session or API key. Raises Unauthenticated."""
    header = request.headers.get("Authorization", "")
    g.user, g.session = authenticate(header, services().config.auth.session_hours)


def admin() -> None:
    """Allow administrators. Raises Unauthenticated or Forbidden."""
    user()
    require_admin(current_user())


def current_user() -> User:
    caller: User = g.user
    return caller


def current_session() -> str | None:
    """Return the id of the caller's session; None for an API key."""
    session: str | None = g.session
    return session


def current_credential() -> str:
    """Return the caller's session id or API key in its canonical spelling."""
    return _parse(request.headers.get("Authorization", ""))[1]


def current_network() -> str:
    """Return the network that the caller counts as in limits."""
    return network_of(request.remote_addr or "")


def authenticate(header: str, session_hours: int) -> tuple[User, str | None]:
    """Return the user of an Authorization header, and the session id unless it has an API key.

    Raises Unauthenticated.
    """
    scheme, secret = _parse(header)
    session = secret if scheme == "basic" else None
    user = sessions.find_user(secret, session_hours) if session else api_keys.find_user(secret)
    if user is None:
        raise Unauthenticated(MISSING)
    return user, session


def _parse(header: str) -> tuple[str, str]:
    """Return the scheme and the secret of an Authorization header, both empty if it is invalid."""
    found = _HEADER.fullmatch(header.strip())
    if found:
        with suppress(InvalidRequest):
            return found["scheme"].lower(), ids.parse(found["secret"])
    return "", ""
