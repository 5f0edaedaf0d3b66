"""Accounts and the sessions in them."""

from typing import Any

from flask import Blueprint, request

from whisper_service import ids, sessions, users
from whisper_service.errors import InvalidRequest
from whisper_service.tables import User
from whisper_service.web import params, serializers
from whisper_service.web.auth import current_session, current_user
from whisper_service.web.services import services

public = Blueprint("accounts", __name__)
private = Blueprint("account", __name__)


@public.post("/user/register")
def register() -> dict[str, Any]:
    config = services().config
    user = users.register(*_credentials(), config.auth, config.billing.initial_token_balance)
    return {
        "message": "User registered and logged in successfully",
        "username": user.username,
        "uuid": user.uuid,
        "session_id": _start_session(user),
    }


@public.post("/user/login")
def login() -> dict[str, Any]:
    user = users.authenticate(*_credentials(), services().config.auth)
    return {
        "message": "Login successful",
        "username": user.username,
        "is_admin": bool(user.is_admin),
        "session_id": _start_session(user),
    }


@private.post("/user/logout")
def logout() -> dict[str, Any]:
    current = current_session()
    if current is None:
        raise InvalidRequest("Cannot logout with API key. Use session authentication")
    asked = params.optional_text(params.json_object(optional=True), "session_id")
    session = ids.parse(asked) if asked is not None else current
    sessions.end(session, current_user(), services().config.auth.session_hours)
    return {"message": "Logged out successfully"}


@private.get("/user")
def profile() -> dict[str, Any]:
    return serializers.user(current_user())


def _credentials() -> tuple[str, str]:
    body = params.json_object()
    username = params.text(body, "username", missing="Missing username")
    return username, params.text(body, "password", missing="Missing password")


def _start_session(user: User) -> str:
    agent = request.headers.get("User-Agent", "")
    return sessions.start(user, agent, services().config.auth.session_hours)
