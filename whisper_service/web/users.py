"""Accounts and sessions."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from flask import Blueprint, Response, request, send_file

from whisper_service import ids
from whisper_service.accounts import sessions, users
from whisper_service.accounts.users import ProfileChange
from whisper_service.errors import InvalidRequest, NotFound
from whisper_service.files.storage import IncomingFile
from whisper_service.tables import User
from whisper_service.web import forms, params, serializers
from whisper_service.web.auth import (
    current_credential,
    current_network,
    current_session,
    current_user,
)
from whisper_service.web.route_options import Pool, route_options
from whisper_service.web.services import services

public = Blueprint("accounts", __name__)
private = Blueprint("account", __name__)


@public.post("/user/register")
@route_options(Pool.REGISTRATION)
def register() -> dict[str, Any]:
    config = services().config
    username, password = _credentials()
    # Before it counts, and before the hash, which takes a quarter of a second.
    users.check_new(username, password, config.auth)
    services().registrations.count(current_network())
    user = users.register(username, password, config.auth, config.billing.initial_token_balance)
    return {
        "message": "User registered and logged in successfully",
        "username": user.username,
        "uuid": user.uuid,
        "session_id": _start_session(user),
    }


@public.post("/user/login")
@route_options(Pool.CREDENTIALS)
def login() -> dict[str, Any]:
    username, password = _credentials()
    with _login_attempt(username):
        user = users.authenticate(username, password, services().config.auth)
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
    session_id = params.optional_text(params.json_object(optional=True), "session_id")
    session = current if session_id is None else ids.parse(session_id)
    sessions.end(session, current_user(), services().config.auth.session_hours)
    return {"message": "Logged out successfully"}


@private.get("/user/session")
@private.get("/user/sessions")
def active_sessions() -> dict[str, Any]:
    rows = sessions.list_active(current_user(), services().config.auth.session_hours)
    return {"sessions": [serializers.session(row) for row in rows]}


@private.get("/user")
def profile() -> dict[str, Any]:
    return serializers.own_account(current_user())


@private.patch("/user")
@route_options(Pool.CREDENTIALS, forms.avatar_limit)
def update() -> dict[str, Any]:
    if request.mimetype != "multipart/form-data":
        body = params.json_object()
        return _update(_change(body, revoke_keys=params.optional_bool(body, "revoke_keys")))
    with forms.received_form(forms.MAX_AVATAR_BYTES, forms.MAX_AVATAR_BODY_BYTES) as form:
        avatar = next((part.file for part in form.parts if part.field == "avatar"), None)
        if avatar and avatar.too_large:
            raise InvalidRequest(forms.AVATAR_TOO_LARGE)
        revoke_keys = params.flag("revoke_keys", form.texts)
        return _update(_change(form.texts, avatar, revoke_keys=revoke_keys))


@private.delete("/user")
@route_options(Pool.CREDENTIALS)
def delete() -> dict[str, Any]:
    missing = "Password is required to delete account"
    password = params.text(params.json_object(optional=True), "password", missing=missing)
    with _own_password_attempt():
        users.delete(current_user(), password, services().storage)
    return {"message": "Account deleted successfully"}


@public.get("/user/avatar/<uuid>")
def avatar(uuid: str) -> Response:
    path = services().storage.avatar(ids.parse(uuid))
    if not path.is_file():
        raise NotFound("Avatar not found")
    return send_file(path, mimetype="image/png", max_age=365 * 24 * 3600)


def _credentials() -> tuple[str, str]:
    body = params.json_object()
    username = params.text(body, "username", missing="Missing username")
    return username, params.text(body, "password", missing="Missing password")


def _change(
    body: dict[str, Any], avatar: IncomingFile | None = None, *, revoke_keys: bool
) -> ProfileChange:
    password = params.optional_text(body, "password")
    return ProfileChange(
        username=params.optional_text(body, "username"),
        password=password or params.optional_text(body, "new_password"),
        old_password=params.optional_text(body, "old_password"),
        avatar=avatar.path if avatar else None,
        revoke_keys=revoke_keys,
    )


def _update(change: ProfileChange) -> dict[str, Any]:
    settings = services().config.auth
    user, session = current_user(), current_session()
    with _own_password_attempt() if change.password else nullcontext():
        fields = users.update(user, change, settings, services().storage, session)
    return {"message": "Profile updated successfully", "updated_fields": fields}


@contextmanager
def _login_attempt(username: str) -> Iterator[None]:
    """Check the password of an anonymous caller inside. Raises TooManyRequests.

    The low limit is per account and network together: per account alone, anybody could lock the
    owner out with ten wrong passwords a minute.
    """
    limits, network = services(), current_network()
    account = username.lower()[: users.MAX_USERNAME + 1]
    with (
        limits.failures_from_address.attempt(network),
        limits.failures_of_account_from_address.attempt((account, network)),
        limits.failures_of_account.attempt(account),
    ):
        yield


@contextmanager
def _own_password_attempt() -> Iterator[None]:
    """Check the password of an authenticated caller inside. Raises TooManyRequests.

    Failures of anonymous callers don't count here. All credentials of an account share a limit,
    because a caller who has one can create others.
    """
    limits = services()
    with (
        limits.failures_of_credential.attempt(current_credential()),
        limits.failures_of_account.attempt(current_user().id),
    ):
        yield


def _start_session(user: User) -> str:
    agent = request.headers.get("User-Agent", "")
    return sessions.start(user, agent, services().config.auth.session_hours)
