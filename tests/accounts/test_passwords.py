import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import bcrypt
import pytest

from whisper_service.accounts import passwords
from whisper_service.config import AuthSettings
from whisper_service.errors import InvalidRequest

GOOD, STRANGERS = "Correct-Horse-9", "Stranger-Horse-9"
CORES = os.cpu_count() or 1


@pytest.mark.parametrize(
    ("password", "message"),
    [
        ("Short-9", "Password must be at least 12 characters long"),
        ("correct-horse-9", "Password must contain at least 1 uppercase letter(s)"),
        ("CORRECT-HORSE-9", "Password must contain at least 1 lowercase letter(s)"),
        ("Correct-Horse-x", "Password must contain at least 1 digit(s)"),
        ("CorrectHorse99", "Password must contain at least 1 special character(s)"),
        (GOOD + "x" * 1024, "Password must be at most 1024 characters long"),
    ],
)
def test_each_rule_has_its_text(password: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        passwords.check_strength(password, AuthSettings())
    assert str(error.value) == message


def test_a_good_password_passes() -> None:
    passwords.check_strength(GOOD, AuthSettings())


@pytest.mark.parametrize("password", [GOOD, GOOD * 60, "é" * 400, GOOD + "\0x"])
def test_every_character_counts(password: str) -> None:
    stored = passwords.hash_password(password, 4)
    assert passwords.matches(password, stored)
    assert not passwords.matches(password + "x", stored)
    assert not passwords.matches(password[:-1], stored)


def test_an_accent_may_be_composed_either_way() -> None:
    stored = passwords.hash_password("caf\u00e9", 4)
    assert passwords.matches("cafe\u0301", stored)


@pytest.mark.skipif(CORES < 2, reason="there is no second core to leave free")
@pytest.mark.parametrize("act", [passwords.hash_password, passwords.burn_time])
def test_hashes_for_unknown_names_do_not_delay_known_names(
    monkeypatch: pytest.MonkeyPatch, act: Callable[[str, int], object]
) -> None:
    stored = passwords.hash_password(GOOD, 4)
    passwords.burn_time(GOOD, 4)  # which makes what it compares with
    begun, over = threading.Semaphore(0), threading.Event()
    for name in ("hashpw", "checkpw"):
        monkeypatch.setattr(bcrypt, name, slow_for_strangers(getattr(bcrypt, name), begun, over))
    with ThreadPoolExecutor(4 * CORES) as strangers, ThreadPoolExecutor(1) as owner:
        waiting = [strangers.submit(act, STRANGERS, 4) for _ in range(4 * CORES)]
        try:
            assert begun.acquire(timeout=10)
            assert owner.submit(passwords.matches, GOOD, stored).result(10)
            assert not any(each.done() for each in waiting)
        finally:
            over.set()


def slow_for_strangers(
    hash_function: Callable[[bytes, bytes], Any], begun: threading.Semaphore, over: threading.Event
) -> Callable[[bytes, bytes], Any]:
    """Return a hash function that takes until `over` for the strangers' password."""
    strangers = passwords._digest(STRANGERS)

    def slow(digest: bytes, salt: bytes) -> Any:
        if digest == strangers:
            begun.release()
            over.wait(30)
        return hash_function(digest, salt)

    return slow
