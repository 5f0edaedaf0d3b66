import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from whisper_service.accounts import passwords
from whisper_service.config import AuthSettings
from whisper_service.errors import InvalidRequest

GOOD = "Correct-Horse-9"


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


@pytest.mark.torture
@pytest.mark.parametrize(
    "act", [partial(passwords.hash_password, GOOD), partial(passwords.burn_time, GOOD)]
)
def test_hashes_for_unknown_names_do_not_delay_known_names(act: Callable[[int], object]) -> None:
    """Of those that came first, only as many are done as there are cores to do them."""
    stored = passwords.hash_password(GOOD, 4)
    passwords.burn_time(GOOD, 10)  # which makes what it compares with
    many = 8 * (os.cpu_count() or 1)
    with ThreadPoolExecutor(many) as pool:
        strangers = [pool.submit(act, 10) for _ in range(many)]
        strangers[0].result()
        assert passwords.matches(GOOD, stored)
        assert sum(stranger.done() for stranger in strangers) < many / 2
