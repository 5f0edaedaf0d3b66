"""How many passwords may be guessed, and what is no guessing."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import requests

from tests.support.live import start_server
from tests.support.service import PASSWORD, Api, Service
from whisper_service.web.services import Services

WRONG = {"password": "Wrong-Horse-9"}
NEW = "Another-Horse-9"


def login(
    api: Api,
    status: int,
    name: str = "ann",
    password: str = WRONG["password"],
    address: str = "127.0.0.1",
) -> Any:
    body = {"username": name, "password": password}
    return api.call("POST", "/user/login", expect=status, json=body, **source(address))


def source(address: str) -> dict[str, Any]:
    return {"environ_overrides": {"REMOTE_ADDR": address}}


def refused(answer: Any, what: str = "failed attempts") -> bool:
    seconds = int(answer.headers["Retry-After"])
    assert 0 < seconds <= 61
    assert answer.text == f"Too many {what}. Try again in {seconds} seconds"
    return True


def set_limits(service: Service, **values: int) -> None:
    """Restart the service with other limits."""
    auth = replace(service.settings.auth, **values)
    service.settings = replace(service.settings, auth=auth)
    services = Services(service.settings, service.storage, service.worker)
    service.client.application.extensions["services"] = services


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
    login(service.anyone, 200, password=PASSWORD, address="10.0.0.1")


def test_a_strangers_failures_do_not_keep_the_owner_out(service: Service) -> None:
    ann = service.register("ann")
    for _ in range(10):
        login(service.anyone, 401, address="10.0.0.1")
    assert refused(login(service.anyone, 429, password=PASSWORD, address="10.0.0.1"))
    login(service.anyone, 200, password=PASSWORD, address="10.0.0.2")
    login(service.anyone, 401, "bob", address="10.0.0.1")
    body = {"password": NEW, "old_password": PASSWORD}
    ann.call("PATCH", "/user", json=body, **source("10.0.0.1"))
    ann.call("DELETE", "/user", json={"password": NEW}, **source("10.0.0.1"))


@pytest.mark.parametrize("name", ["ann", "nobody"])
def test_failures_for_an_account_from_anywhere(service: Service, name: str) -> None:
    set_limits(service, failures_per_account_total=12)
    service.register("ann")
    for number in range(12):
        login(service.anyone, 401, name, address=f"10.0.0.{number}")
    assert refused(login(service.anyone, 429, name, PASSWORD, "10.0.1.0"))
    login(service.anyone, 401, "bob", address="10.0.1.0")


@pytest.mark.parametrize(
    ("first", "second"),
    [("2001:db8::1", "2001:db8::ffff:2"), ("::ffff:192.0.2.7", "192.0.2.7")],
)
def test_addresses_of_one_network_count_together(service: Service, first: str, second: str) -> None:
    service.register("ann")
    for _ in range(5):
        login(service.anyone, 401, address=first)
        login(service.anyone, 401, address=second)
    assert refused(login(service.anyone, 429, address=second))
    login(service.anyone, 401, address="2001:db8:0:1::1")


@pytest.mark.parametrize(
    ("method", "body"),
    [("DELETE", WRONG), ("PATCH", {"password": NEW, "old_password": WRONG["password"]})],
)
def test_who_is_logged_in_has_guesses_of_their_own(
    service: Service, method: str, body: dict[str, str]
) -> None:
    """Whoever stole a session can't guess the password with it, however they spell its id."""
    ann = service.register("ann")
    session = str(ann.authorization).split()[1]
    spellings = [f"Basic {session}", f"bAsIc {session.upper()}", f"basic {UUID(session)}"]
    for number in range(10):
        replace(ann, authorization=spellings[number % 3]).error(method, "/user", 401, body)
    for spelling in spellings:
        stolen = replace(ann, authorization=spelling)
        assert refused(stolen.call(method, "/user", expect=429, json=body, **source("10.0.0.1")))
    login(service.anyone, 200, password=PASSWORD)
    service.with_key(ann).error(method, "/user", 401, body)


def test_all_credentials_of_an_account_have_a_limit_together(service: Service) -> None:
    set_limits(service, failures_per_account_total=12)
    ann = service.register("ann")
    for _ in range(12):
        key = service.with_key(ann)
        key.error("DELETE", "/user", 401, WRONG)
    assert refused(service.with_key(ann).call("DELETE", "/user", expect=429, json=WRONG))
    login(service.anyone, 200, password=PASSWORD)


def test_a_change_without_a_password_is_no_guess(service: Service) -> None:
    ann = service.register("ann")
    for _ in range(10):
        login(service.anyone, 401)
    ann.call("PATCH", "/user", json={"username": "anna"})


def register(service: Service, status: int, name: str, address: str, **fields: str) -> Any:
    body = {"username": name, "password": PASSWORD, **fields}
    return service.anyone.call(
        "POST", "/user/register", expect=status, json=body, **source(address)
    )


def test_registrations_from_an_address_are_limited(service: Service) -> None:
    set_limits(service, registrations_per_address=3)
    for number in range(5):  # what costs no hash does not count
        register(service, 400, f"person-{number}", "2001:db8::1", password="weak")
    for number in range(3):
        register(service, 200, f"person-{number}", f"2001:db8::{number}")
        register(service, 409, f"person-{number}", "2001:db8::1")
    answer = register(service, 429, "person-4", "2001:db8::4")
    assert refused(answer, "registrations")
    register(service, 200, "person-4", "192.0.2.7")


@pytest.mark.torture
def test_fifty_people_register_within_a_minute(stub_models: Path, tmp_path: Path) -> None:
    server = start_server(tmp_path, stub_models, WHISPER_SERVICE_AUTH_BCRYPT_COST="12")
    try:

        def register(number: int) -> int:
            body = {"username": f"person-{number}", "password": PASSWORD}
            url = f"{server.url}/api/v1/user/register"
            return requests.post(url, json=body, timeout=30).status_code

        with ThreadPoolExecutor(3) as people:
            assert list(people.map(register, range(50))) == [200] * 50
    finally:
        assert server.stop() == 0
