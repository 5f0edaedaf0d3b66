"""How many passwords may be guessed, and what is no guessing."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import PASSWORD, Api, Service, start_server
from tests.torture.harness import FULL

WRONG = {"password": "Wrong-Horse-9"}
NEW = "Another-Horse-9"


def login(api: Api, status: int, name: str = "ann", password: str = WRONG["password"]) -> Any:
    body = {"username": name, "password": password}
    return api.call("POST", "/user/login", expect=status, json=body)


def refused(answer: Any) -> bool:
    seconds = int(answer.headers["Retry-After"])
    assert 0 < seconds <= 61
    assert answer.text == f"Too many failed attempts. Try again in {seconds} seconds"
    return True


@pytest.mark.parametrize("name", ["ann", "nobody", "x" * 5000])
def test_ten_failures_a_minute_for_a_name(service: Service, name: str) -> None:
    """A name that nobody has is counted alike, or the limit would tell which ones exist."""
    service.register("ann")
    service.register("bob")
    for number in range(10):
        login(service.anyone, 401, name.upper() if number % 2 else name)
    assert refused(login(service.anyone, 429, name))
    assert refused(login(service.anyone, 429, name, PASSWORD))
    login(service.anyone, 200, "bob", PASSWORD)


def test_a_right_password_does_not_count(service: Service) -> None:
    service.register("ann")
    for _ in range(9):
        login(service.anyone, 401)
    for _ in range(15):
        login(service.anyone, 200, password=PASSWORD)
    login(service.anyone, 401)
    assert refused(login(service.anyone, 429, password=PASSWORD))


def test_a_hundred_failures_a_minute_for_an_address(service: Service) -> None:
    service.register("ann")
    for number in range(100):
        login(service.anyone, 401, f"nobody-{number}")
    assert refused(login(service.anyone, 429, password=PASSWORD))
    body = {"username": "ann", "password": PASSWORD}
    elsewhere = {"REMOTE_ADDR": "10.0.0.1"}
    service.anyone.call("POST", "/user/login", json=body, environ_overrides=elsewhere)


@pytest.mark.parametrize(
    ("method", "body"),
    [("DELETE", WRONG), ("PATCH", {"password": NEW, "old_password": WRONG["password"]})],
)
def test_guesses_in_other_places_count_as_well(
    service: Service, method: str, body: dict[str, str]
) -> None:
    ann = service.register("ann")
    for _ in range(5):
        ann.error(method, "/user", 401, body)
        login(service.anyone, 401)
    assert refused(ann.call(method, "/user", expect=429, json=body))
    assert refused(login(service.anyone, 429, password=PASSWORD))


def test_a_change_without_a_password_is_no_guess(service: Service) -> None:
    ann = service.register("ann")
    for _ in range(10):
        login(service.anyone, 401)
    ann.call("PATCH", "/user", json={"username": "anna"})


def test_fifty_people_register_within_a_minute(tiny_en_model: Path, tmp_path: Path) -> None:
    cost = {} if FULL else {"WHISPER_SERVICE_AUTH_BCRYPT_COST": "9"}
    server = start_server(tmp_path, tiny_en_model.parent, **cost)
    try:

        def register(number: int) -> int:
            body = {"username": f"person-{number}", "password": PASSWORD}
            url = f"{server.url}/api/v1/user/register"
            return requests.post(url, json=body, timeout=30).status_code

        with ThreadPoolExecutor(3) as people:
            assert list(people.map(register, range(50))) == [200] * 50
    finally:
        assert server.stop() == 0
