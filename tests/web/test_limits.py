import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from whisper_service.errors import TooManyRequests, Unauthenticated
from whisper_service.web import limits
from whisper_service.web.limits import (
    MINUTE,
    ConcurrencyLimit,
    FailedLoginLimiter,
    RateLimit,
    network_of,
)


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


def fail(limit: FailedLoginLimiter, key: str = "ann") -> None:
    with pytest.raises(Unauthenticated), limit.attempt(key):
        raise Unauthenticated("no")


def succeed(limit: FailedLoginLimiter, key: str = "ann") -> None:
    with limit.attempt(key):
        pass


def test_failures_per_minute_are_limited(clock: Clock) -> None:
    limit = FailedLoginLimiter(3)
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
    limit = FailedLoginLimiter(1)
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
    limit = FailedLoginLimiter(10)
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
    limit = FailedLoginLimiter(2)
    with limit.attempt("ann"), limit.attempt("ann"):
        with pytest.raises(TooManyRequests):
            succeed(limit)
    succeed(limit)


def test_what_is_remembered_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_KEYS", 100)
    limit = FailedLoginLimiter(1)
    for number in range(1000):
        fail(limit, str(number))
        assert len(limit._times) <= 100
    with pytest.raises(TooManyRequests):
        succeed(limit, "999")
    clock.now += MINUTE
    for number in range(1000, 1101):
        fail(limit, str(number))
    assert "999" not in limit._times


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:c000:207", "192.0.2.7"),
        ("192.0.2.7:4711", "192.0.2.7"),
        ("[2001:db8:1:2::1]", "2001:db8:1:2::/64"),
        ('"[2001:db8:1:2::1]:4711"', "2001:db8:1:2::/64"),
        (" 192.0.2.7 ", "192.0.2.7"),
        ("unknown", "unknown"),
        ("_hidden:1", "_hidden"),
        ("", ""),
    ],
)
def test_an_address_counts_as_its_network(address: str, network: str) -> None:
    assert network_of(address) == network


def test_concurrency_is_limited_in_all_and_per_key() -> None:
    limit = ConcurrencyLimit(3, 2)
    assert [limit.acquire("ann") for _ in range(3)] == [True, True, False]
    assert [limit.acquire("bob") for _ in range(2)] == [True, False]
    limit.release("ann")
    assert limit.acquire("bob")
    assert not limit.acquire("ann")
    for name in ("ann", "bob", "bob"):
        limit.release(name)
    assert not limit._held


def test_a_place_is_left_however_it_ends() -> None:
    limit = ConcurrencyLimit(1, 1)
    refusal = TooManyRequests("busy", 5)
    for _ in range(3):
        with pytest.raises(ValueError, match="broken"), limit.place("ann", refusal):
            with pytest.raises(TooManyRequests) as refused, limit.place("bob", refusal):
                pass
            assert refused.value is refusal
            raise ValueError("broken")
    assert limit.acquire("bob")


def test_whatever_happens_counts_towards_a_rate(clock: Clock) -> None:
    limit = RateLimit(2, "Too many")
    limit.count("ann")
    clock.now += 10
    limit.count("ann")
    with pytest.raises(TooManyRequests) as refused:
        limit.count("ann")
    assert (str(refused.value), refused.value.retry_after) == (
        "Too many. Try again in 51 seconds",
        51,
    )
    limit.count("bob")
    clock.now += 50
    limit.count("ann")
