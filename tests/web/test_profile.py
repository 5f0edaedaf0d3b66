"""PATCH and DELETE /user, avatars, lists of sessions and keys."""

import threading
from pathlib import Path
from typing import Any

import pytest
from urllib3.filepost import encode_multipart_formdata

from tests.support.accounts import make_admin
from tests.support.paths import DATA
from tests.support.pictures import PNG
from tests.support.service import PASSWORD, Api, Service
from tests.support.tus import append, create
from whisper_service import db
from whisper_service.accounts import users
from whisper_service.errors import Conflict
from whisper_service.files import transcoding
from whisper_service.tables import Session, Table, User

NEW = "Another-Horse-10"


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register("ann")


def patch(api: Api, expect: int = 200, **fields: Any) -> Any:
    body, content_type = encode_multipart_formdata(fields)
    response = api.call("PATCH", "/user", expect, data=body, content_type=content_type)
    return response.json if expect == 200 else response.text


def login(service: Service, username: str, password: str, expect: int = 200) -> None:
    body = {"username": username, "password": password}
    service.anyone.call("POST", "/user/login", expect, json=body)


def avatars(service: Service) -> list[Path]:
    return list((service.storage.root / "avatars").iterdir())


def test_name_password_and_avatar_change_together(service: Service, ann: Api) -> None:
    answer = patch(
        ann, username="anna", password=NEW, old_password=PASSWORD, avatar=("me.png", PNG)
    )
    assert answer == {
        "message": "Profile updated successfully",
        "updated_fields": ["username", "password", "avatar"],
    }
    login(service, "anna", NEW)
    login(service, "anna", PASSWORD, expect=401)
    uuid = ann.get("/user")["avatar_uuid"]
    picture = service.anyone.call("GET", f"/user/avatar/{uuid}")
    assert picture.content_type == "image/png"
    assert picture.data[16:24] == (256).to_bytes(4) * 2


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"username": "bob"}, 409, "Username already taken"),
        ({"username": "x"}, 400, "Invalid username. Must be"),
        ({"old_password": "no"}, 401, "Incorrect old password"),
        ({"old_password": ""}, 400, "old_password is required to update password"),
        ({"password": "short"}, 400, "Password must be at least 12 characters long"),
        (
            {"avatar": ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>")},
            400,
            "Invalid avatar",
        ),
        ({"avatar": ("a.png", b"")}, 400, "Invalid avatar image"),
        ({"avatar": ("a.wav", (DATA / "jfk.wav").read_bytes())}, 400, "Invalid avatar image"),
        ({"avatar": ("a.png", PNG + b"\0" * 10 * 1024**2)}, 400, "Avatar file too large. Maximum"),
    ],
)
def test_one_bad_field_leaves_everything_as_it_was(
    service: Service, ann: Api, fields: dict[str, Any], status: int, message: str
) -> None:
    service.register("bob")
    patch(ann, avatar=("me.png", PNG))
    before = User.get(User.username == "ann").__data__
    kept = avatars(service)
    everything = {
        "username": "anna",
        "password": NEW,
        "old_password": PASSWORD,
        "avatar": ("me.png", PNG),
    }
    assert patch(ann, status, **everything | fields).startswith(message)
    assert User.get(User.username == "ann").__data__ == before
    assert avatars(service) == kept
    assert list((service.storage.root / "tmp").iterdir()) == []
    ann.get("/user")


def test_text_fields_may_come_as_json(service: Service, ann: Api) -> None:
    body = {"username": "Ann", "new_password": NEW, "old_password": PASSWORD}
    fields = ann.call("PATCH", "/user", json=body).json["updated_fields"]
    assert fields == ["username", "password"]
    assert ann.get("/user")["username"] == "Ann"
    login(service, "ann", NEW)
    assert ann.error("PATCH", "/user", 400, {"username": 5}) == "username must be a string"


@pytest.mark.parametrize("by_key", [False, True])
def test_a_new_password_ends_the_other_sessions(
    service: Service, ann: Api, *, by_key: bool
) -> None:
    login(service, "ann", PASSWORD)
    caller = service.with_key(ann) if by_key else ann
    caller.call("PATCH", "/user", json={"password": NEW, "old_password": PASSWORD})
    caller.get("/user")
    assert Session.select().count() == (0 if by_key else 1)


def test_an_avatar_takes_the_old_ones_place(service: Service, ann: Api) -> None:
    patch(ann, avatar=("one.png", PNG))
    first = ann.get("/user")["avatar_uuid"]
    patch(ann, avatar=("two.png", PNG))
    second = ann.get("/user")["avatar_uuid"]
    assert [path.stem for path in avatars(service)] == [second]
    assert ann.error("GET", f"/user/avatar/{first}", 404) == "Avatar not found"
    assert ann.error("GET", "/user/avatar/xyz", 400) == "Invalid UUID format"


def test_the_lists_show_what_is_active(service: Service, ann: Api) -> None:
    other = ann.call("GET", "/user/session", headers={"User-Agent": "ignored"}).json
    body = {"username": "ann", "password": PASSWORD}
    service.anyone.post("/user/login", body, headers={"User-Agent": "curl/7.84.0"})
    rows = ann.get("/user/sessions")["sessions"]
    assert rows[:1] == other["sessions"]
    assert rows[0]["session_id"] == ann.authorization.split()[1]
    assert rows[1]["user_agent"] == "curl/7.84.0"
    Session.update(started_at=Session.started_at - 25 * 3600).where(
        Session.user_agent == "curl/7.84.0"
    ).execute()
    assert len(ann.get("/user/session")["sessions"]) == 1

    issued = [ann.post("/user/token", {"name": name}) for name in ("one", "two")]
    listed = ann.get("/user/tokens")["tokens"]
    assert [item["name"] for item in listed] == ["one", "two"]
    for row, token in zip(listed, issued, strict=True):
        assert row["token_id"] == token["token_id"]
        assert row["token"] == f"{token['token'][:4]}...{token['token'][-4:]}"
    answer = ann.call("DELETE", f"/user/token/{issued[0]['token_id']}").json
    assert answer == {
        "message": "Token revoked successfully",
        "token_id": issued[0]["token_id"],
        "token_name": "one",
    }
    revoked = {"Authorization": f"Bearer {issued[0]['token']}"}
    service.anyone.error("GET", "/user", 401, headers=revoked)


def test_the_last_administrator_stays(service: Service, ann: Api) -> None:
    bob = service.register("bob")
    for name in ("ann", "bob"):
        make_admin(name)
    bob.call("DELETE", "/user", json={"password": PASSWORD})
    message = ann.error("DELETE", "/user", 409, {"password": PASSWORD})
    assert message.startswith("The last administrator's account cannot be deleted")
    assert ann.get("/user")["is_admin"] is True
    assert ann.error("DELETE", "/user", 401, {"password": NEW}) == "Incorrect password"


def test_of_two_administrators_who_leave_at_once_one_stays(service: Service) -> None:
    for name in ("ann", "bob"):
        service.register(name)
        make_admin(name)
    admins = list(User.select())
    both, refused = threading.Barrier(2), []

    def leave(user: User) -> None:
        both.wait()
        with db.database.connection_context():
            try:
                users.delete(user, PASSWORD, service.storage)
            except Conflict as error:
                refused.append(error)

    threads = [threading.Thread(target=leave, args=(user,)) for user in admins]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert User.select().where(User.is_admin == 1).count() == 1


def test_deleting_an_account_takes_everything(service: Service, ann: Api) -> None:
    bob = service.register("bob")
    for api in (ann, bob):
        service.with_key(api)
        patch(api, avatar=("me.png", PNG))
        (file,) = api.upload(DATA / "austen-0880.wav")
        order = {"uuid": file["uuid"], "model": "ggml-tiny.en", "format": ["srt", "vtt"]}
        api.post("/transcribe", order)
        append(api, create(api, 100), 0, b"begun")
    service.work()
    ann.post("/transcribe", order | {"uuid": ann.get("/file")["files"][0]["uuid"]})
    answer = ann.call("DELETE", "/user", json={"password": PASSWORD}).json
    assert answer == {"message": "Account deleted successfully"}
    ann.error("GET", "/user", 401)
    counts = {table._meta.table_name: table.select().count() for table in Table.__subclasses__()}
    assert counts == {
        "user": 1,
        "session": 1,
        "api_token": 1,
        "file": 1,
        "transcript": 1,
        "checkpoint": 0,
        "transcription": 2,
        "correction": 0,
        "searchable": 1,
        "unsearchable": 0,
        "ledger": 3,
        "upload": 1,
        "watched": 0,
        "webhook_endpoint": 0,
        "webhook_message": 0,
        "webhook_attempt": 0,
    }
    assert len(list((service.storage.root / "files").iterdir())) == 1
    assert len(list((service.storage.root / "uploads").iterdir())) == 1
    assert len(avatars(service)) == 1
    assert db.database.execute_sql("PRAGMA foreign_key_check").fetchall() == []
    assert len(bob.get("/file")["files"]) == 1
    assert transcoding.count_samples(service.storage.speech(file["uuid"])) > 0
