import time
import uuid

import pytest

from tests.support.service import PASSWORD, Service
from whisper_service.tables import Session, User

ANN = {"username": "ann", "password": PASSWORD}


def test_register_logs_in(service: Service) -> None:
    answer = service.anyone.post("/user/register", ANN)
    assert answer["message"] == "User registered and logged in successfully"
    assert answer["username"] == "ann"
    assert set(answer) == {"message", "username", "uuid", "session_id"}
    profile = service.anyone.get(
        "/user", headers={"Authorization": f"Basic {answer['session_id']}"}
    )
    assert profile == {
        "uuid": answer["uuid"],
        "username": "ann",
        "is_admin": False,
        "registered_at": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(User.get().registered_at)),
        "token_balance": 1000,
        "avatar_uuid": None,
        "price_multiplier": 1.0,
    }


@pytest.mark.parametrize("name", ["ann", "ANN"])
def test_a_name_is_taken_whatever_its_case(service: Service, name: str) -> None:
    service.register("ann")
    body = {"username": name, "password": PASSWORD}
    message = service.anyone.error("POST", "/user/register", 409, body)
    assert message == "Username already exists"


@pytest.mark.parametrize("name", ["ab", "a" * 21, "ann smith", "änn", "ann\n", "a/b"])
def test_a_name_has_rules(service: Service, name: str) -> None:
    body = {"username": name, "password": PASSWORD}
    assert service.anyone.error("POST", "/user/register", 400, body) == (
        "Invalid username. Must be 3-20 characters and contain only "
        "alphanumeric characters, underscores, or hyphens"
    )


@pytest.mark.parametrize("path", ["/user/register", "/user/login"])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"password": PASSWORD}, "Missing username"),
        ({"username": None, "password": PASSWORD}, "Missing username"),
        ({"username": "ann"}, "Missing password"),
        ({"username": 1, "password": PASSWORD}, "username must be a string"),
        ({"username": "ann", "password": ["x"]}, "password must be a string"),
        ({"username": "ann", "password": "\ud800"}, "password must be valid text"),
        ({"username": "a\0n", "password": PASSWORD}, "username must be valid text"),
        ([], "Invalid JSON body"),
        ("ann", "Invalid JSON body"),
    ],
)
def test_wrong_credentials_are_named(
    service: Service, path: str, body: object, message: str
) -> None:
    assert service.anyone.error("POST", path, 400, body) == message


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"{}}", b"\xff", b"[" * 3000, b'{"a": NaN}', b'{"a": 1' + b"0" * 5000 + b"}"]
)
def test_malformed_json_is_a_400(service: Service, raw: bytes) -> None:
    assert service.anyone.error("POST", "/user/login", 400, data=raw) == "Invalid JSON body"


def test_login_starts_a_session(service: Service) -> None:
    service.register("ann")
    answer = service.anyone.post("/user/login", {"username": "Ann", "password": PASSWORD})
    session = answer.pop("session_id")
    assert uuid.UUID(session).version == 7
    assert answer == {"message": "Login successful", "username": "ann", "is_admin": False}


@pytest.mark.parametrize("name", ["ann", "nobody"])
@pytest.mark.parametrize("password", ["wrong", PASSWORD + " ", "x" * 5000])
def test_a_wrong_password_and_an_unknown_name_look_the_same(
    service: Service, name: str, password: str
) -> None:
    service.register("ann")
    body = {"username": name, "password": password}
    assert service.anyone.error("POST", "/user/login", 401, body) == "Authentication failed"


def test_logout_ends_the_session(service: Service) -> None:
    ann = service.register()
    assert ann.post("/user/logout") == {"message": "Logged out successfully"}
    ann.error("GET", "/user", 401)


def test_another_session_of_ones_own_can_be_ended(service: Service) -> None:
    ann = service.register()
    other = service.anyone.post("/user/login", ANN)["session_id"]
    ann.post("/user/logout", {"session_id": other})
    ann.get("/user")
    body = {"session_id": other}
    assert ann.error("POST", "/user/logout", 404, body) == "Session not found or already ended"


def test_logout_has_limits(service: Service) -> None:
    ann, bob = service.register("ann"), service.register("bob")
    theirs = Session.select().order_by(Session.id.desc()).get().uuid
    message = ann.error("POST", "/user/logout", 403, {"session_id": theirs})
    assert message == "Cannot logout from another user's session"
    message = service.with_key(ann).error("POST", "/user/logout", 400)
    assert message == "Cannot logout with API key. Use session authentication"
    assert ann.error("POST", "/user/logout", 400, {"session_id": "x"}) == "Invalid UUID format"
    bob.get("/user")


def test_a_session_ends_after_a_day(service: Service) -> None:
    ann = service.register()
    Session.update(started_at=Session.started_at - 24 * 3600 + 60).execute()
    ann.get("/user")
    Session.update(started_at=Session.started_at - 61).execute()
    ann.error("GET", "/user", 401)
    service.anyone.post("/user/login", ANN)
    assert Session.select().count() == 1
