"""Requests under way while the account that they act for goes, or changes its password."""

import io
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest

from tests.support.accounts import make_admin
from tests.support.interleaving import after
from tests.support.jobs import submit
from tests.support.pictures import PNG
from tests.support.service import PASSWORD, Api, Service
from whisper_service.accounts import passwords, users
from whisper_service.tables import ApiKey, File, Session, Transcription, User
from whisper_service.web import auth

NEW = "Another-Horse-10"
CHANGE = {"password": NEW, "old_password": PASSWORD}


@pytest.fixture
def ann(service: Service) -> Api:
    service.register("first")  # so that Ann's is the account whose id could be given again
    return service.register("ann")


@pytest.fixture
def replace_ann(service: Service, ann: Api) -> Callable[[], None]:
    """Delete Ann's account, and let a stranger register."""

    def act() -> None:
        ann.call("DELETE", "/user", json={"password": PASSWORD})
        service.register("stranger")

    return act


def stranger() -> dict[str, Any]:
    """Return what there is of the stranger's account."""
    user = User.get(User.username == "stranger")
    return {
        "user": user.__data__,
        "sessions": Session.select().where(Session.user_id == user.id).count(),
        "keys": ApiKey.select().where(ApiKey.user_id == user.id).count(),
        "files": File.select().where(File.user_id == user.id).count(),
        "transcriptions": Transcription.select().where(Transcription.user_id == user.id).count(),
    }


UNTOUCHED = {"sessions": 1, "keys": 0, "files": 0, "transcriptions": 0}
GONE = "Missing valid Authorization header with session or API key"


def test_a_login_during_the_deletion_opens_nobody_elses_account(
    service: Service, monkeypatch: pytest.MonkeyPatch, replace_ann: Callable[[], None]
) -> None:
    after(monkeypatch, passwords, "matches", replace_ann)
    body = {"username": "ann", "password": PASSWORD}
    assert service.anyone.error("POST", "/user/login", 401, body) == "Authentication failed"
    assert stranger() | UNTOUCHED == stranger()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/user/token", {"name": "key"}),
        ("PATCH", "/user", {"username": "taken-over"}),
        ("PATCH", "/user", CHANGE),
        ("DELETE", "/user", {"password": PASSWORD}),
    ],
)
def test_a_request_of_a_deleted_account_changes_nobody_elses(
    ann: Api,
    monkeypatch: pytest.MonkeyPatch,
    replace_ann: Callable[[], None],
    method: str,
    path: str,
    body: dict[str, str],
) -> None:
    after(monkeypatch, auth, "authenticate", replace_ann)
    assert ann.error(method, path, 401, body) in {
        GONE,
        "Incorrect old password",
        "Incorrect password",
    }
    assert stranger() | UNTOUCHED == stranger()
    assert stranger()["user"]["username"] == "stranger"


def test_a_login_with_the_old_password_does_not_outlive_the_change(
    service: Service, ann: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"username": "ann", "password": PASSWORD}
    after(monkeypatch, passwords, "matches", lambda: ann.call("PATCH", "/user", json=CHANGE))
    assert service.anyone.error("POST", "/user/login", 401, body) == "Authentication failed"
    user = User.get(User.username == "ann")
    assert Session.select().where(Session.user_id == user.id).count() == 1


def test_of_two_changes_at_once_one_is_refused(
    service: Service, ann: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = {**CHANGE, "password": "First-Horse-100"}
    after(monkeypatch, passwords, "matches", lambda: ann.call("PATCH", "/user", json=first))
    assert ann.error("PATCH", "/user", 401, CHANGE) == "Incorrect old password"
    service.anyone.post("/user/login", {"username": "ann", "password": first["password"]})
    service.anyone.error("POST", "/user/login", 401, {"username": "ann", "password": NEW})


def test_a_change_during_the_deletion_keeps_the_account(
    service: Service, ann: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    after(monkeypatch, passwords, "matches", lambda: ann.call("PATCH", "/user", json=CHANGE))
    body = {"password": PASSWORD}
    assert ann.error("DELETE", "/user", 401, body) == "Incorrect password"
    service.anyone.post("/user/login", {"username": "ann", "password": NEW})


def test_a_key_asked_for_before_the_change_is_not_issued_after_it(
    ann: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    after(monkeypatch, auth, "authenticate", lambda: ann.call("PATCH", "/user", json=CHANGE))
    assert ann.error("POST", "/user/token", 401, {"name": "key"}) == GONE
    assert ApiKey.select().count() == 0


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/transcribe", {"uuid": "{file}", "model": "ggml-tiny.en"}),
        ("DELETE", "/transcribe/{transcription}", None),
        ("PATCH", "/file/{file}", {"filename": "other.wav"}),
        ("DELETE", "/file/{file}", None),
        ("DELETE", "/user/token/{key}", None),
    ],
)
def test_a_write_asked_for_before_the_change_is_refused_after_it(
    service: Service,
    ann: Api,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    body: dict[str, str] | None,
) -> None:
    (transcription,) = submit(service, ann)
    uuids = {
        "transcription": transcription,
        "file": Transcription.get().file_uuid,
        "key": ann.post("/user/token", {"name": "key"})["token_id"],
    }
    before = owned()
    after(monkeypatch, auth, "authenticate", lambda: ann.call("PATCH", "/user", json=CHANGE))
    filled = body and {name: value.format(**uuids) for name, value in body.items()}
    assert ann.error(method, path.format(**uuids), 401, filled) == GONE
    assert owned() == before


def test_an_administrator_whose_account_goes_changes_nobody(
    service: Service, ann: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "ann"):
        make_admin(name)
    other = User.get(User.username == "first")
    after(monkeypatch, auth, "authenticate", partial(begin_deletion, service, ann))
    path, body = f"/admin/users/{other.uuid}", {"token_balance": 1}
    assert ann.error("PATCH", path, 403, body) == "Access denied. Admin privileges required"
    assert User.get_by_id(other.id).token_balance == other.token_balance


def begin_deletion(service: Service, api: Api) -> None:
    """Delete an account, but stop as if the service were killed before the account itself goes."""
    with pytest.MonkeyPatch.context() as patch, suppress(KeyboardInterrupt):
        patch.setattr(users, "_delete_transcriptions", Mock(side_effect=KeyboardInterrupt))
        api.call("DELETE", "/user", json={"password": PASSWORD})


def owned() -> list[list[dict[str, Any]]]:
    """Return all rows of what users own."""
    tables = (ApiKey, File, Transcription)
    return [[row.__data__ for row in table.select()] for table in tables]


def test_a_new_password_revokes_the_keys_when_asked_to(service: Service, ann: Api) -> None:
    bob = service.register("bob")
    keys = [service.with_key(api) for api in (ann, ann, bob)]
    ann.call("PATCH", "/user", json=CHANGE)
    keys[0].get("/user")
    change = {"password": PASSWORD, "old_password": NEW, "revoke_keys": True}
    assert keys[0].call("PATCH", "/user", json=change).json["updated_fields"] == ["password"]
    for key in keys[:2]:
        assert key.error("GET", "/user", 401) == GONE
    keys[2].get("/user")
    body = {"username": "anna", "revoke_keys": True}
    message = bob.error("PATCH", "/user", 400, body)
    assert message == "revoke_keys requires a new password"
    assert bob.error("PATCH", "/user", 400, CHANGE | {"revoke_keys": 1}).startswith("revoke_keys")


def test_an_avatar_that_comes_during_the_deletion_is_not_kept(
    service: Service, ann: Api, monkeypatch: pytest.MonkeyPatch, replace_ann: Callable[[], None]
) -> None:
    after(monkeypatch, auth, "authenticate", replace_ann)
    data = {"avatar": (io.BytesIO(PNG), "me.png")}
    assert ann.call("PATCH", "/user", 401, data=data).text == GONE
    assert list((service.storage.root / "avatars").iterdir()) == []
