import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from whisper_service import limits
from whisper_service.errors import TooManyRequests, Unauthenticated
from whisper_service.limits import MINUTE, FailureLimit


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def fail(limit: FailureLimit, key: str = "ann") -> None:
    with pytest.raises(Unauthenticated), limit.attempt(key):
        raise Unauthenticated("no")


def succeed(limit: FailureLimit, key: str = "ann") -> None:
    with limit.attempt(key):
        pass


def test_so_many_failures_a_minute(clock: Clock) -> None:
    limit = FailureLimit(3)
    for _ in range(3):
        fail(limit)
        clock.now += 10
    with pytest.raises(TooManyRequests) as refused:
        succeed(limit)
    assert refused.value.retry_after == 31
    assert str(refused.value) == "Too many failed attempts. Try again in 31 seconds"
    fail(limit, "bob")
    clock.now += 29.9
    with pytest.raises(TooManyRequests):
        succeed(limit)
    clock.now += 0.1  # the first is a minute old, the second is not
    fail(limit)
    with pytest.raises(TooManyRequests):
        succeed(limit)


def test_only_a_wrong_password_is_a_failure(clock: Clock) -> None:
    limit = FailureLimit(1)
    for _ in range(5):
        succeed(limit)
        with pytest.raises(TooManyRequests), limit.attempt("ann"):
            raise TooManyRequests("busy", 1)
        with pytest.raises(KeyError), limit.attempt("ann"):
            raise KeyError
    fail(limit)
    with pytest.raises(TooManyRequests):
        succeed(limit)


def test_many_guesses_at_once_are_no_way_around() -> None:
    limit = FailureLimit(10)
    together = threading.Barrier(40)

    def guess(_: int) -> bool:
        together.wait(10)
        try:
            fail(limit)
        except TooManyRequests:
            return False
        return True

    with ThreadPoolExecutor(40) as pool:
        assert list(pool.map(guess, range(40))).count(True) == 10


def test_attempts_under_way_count(clock: Clock) -> None:
    limit = FailureLimit(2)
    with limit.attempt("ann"), limit.attempt("ann"):
        with pytest.raises(TooManyRequests):
            succeed(limit)
    succeed(limit)


def test_what_is_remembered_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_KEYS", 100)
    limit = FailureLimit(1)
    for number in range(1000):
        fail(limit, str(number))
        assert len(limit._failures) <= 100
    with pytest.raises(TooManyRequests):
        succeed(limit, "999")
    clock.now += MINUTE
    for number in range(1000, 1101):
        fail(limit, str(number))
    assert "999" not in limit._failures
