"""Per-caller limits on waiting requests, CPU time and password attempts."""

import threading
import time
from collections import Counter, deque
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv6Address, IPv6Network, ip_address

from whisper_service.errors import TooManyRequests, Unauthenticated

MINUTE = 60.0
MAX_KEYS = 100_000
IPV6_PREFIX = 64


def address_of(text: str) -> str:
    """Return the IP address in an item of X-Forwarded-For, as proxies write it.

    Quotes, brackets and a port are removed, and an IPv4-mapped IPv6 address (RFC 4291, section
    2.5.5.2) becomes the IPv4 address. Text that is not an address is returned without its port.
    """
    host = text.strip().strip('"')
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        parsed = ip_address(host)
    except ValueError:
        return host
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def network_of(text: str) -> str:
    """Return the network that an address counts as in limits: for IPv6, its /64.

    Every subscriber gets at least a /64 (RFC 6177) and can use any address in it. Accepts what
    `address_of` does.
    """
    address = address_of(text)
    try:
        return str(IPv6Network((int(IPv6Address(address)), IPV6_PREFIX), strict=False))
    except ValueError:
        return address


class ConcurrencyLimit:
    """Limits concurrent requests: `total` in all, `per_key` for each key."""

    def __init__(self, total: int, per_key: int) -> None:
        self._total = total
        self._per_key = per_key
        self._held: Counter[Hashable] = Counter()
        self._lock = threading.Lock()

    def acquire(self, key: Hashable) -> bool:
        """Take a place. Return whether there was one."""
        with self._lock:
            if self._held.total() >= self._total or self._held[key] >= self._per_key:
                return False
            self._held[key] += 1
            return True

    def release(self, key: Hashable) -> None:
        with self._lock:
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]

    @contextmanager
    def place(self, key: Hashable, refusal: TooManyRequests) -> Iterator[None]:
        """Hold a place inside. Raises `refusal` if there is none."""
        if not self.acquire(key):
            raise refusal
        try:
            yield
        finally:
            self.release(key)


class RateLimit:
    """Limits how often something happens for each key within any 60 seconds."""

    def __init__(self, limit: int, refusal: str) -> None:
        self._limit = limit
        self._refusal = refusal
        self._times: dict[Hashable, deque[float]] = {}
        self._lock = threading.Lock()

    def count(self, key: Hashable) -> float:
        """Count one more, and return its time for `uncount`.

        Raises TooManyRequests with the `refusal` once the key has reached its limit.
        """
        now = time.monotonic()
        with self._lock:
            if len(self._times) >= MAX_KEYS:
                self._prune(now)
            times = self._times.setdefault(key, deque())
            while times and times[0] <= now - MINUTE:
                times.popleft()
            if len(times) >= self._limit:
                seconds = int(times[0] + MINUTE - now) + 1
                raise TooManyRequests(f"{self._refusal}. Try again in {seconds} seconds", seconds)
            times.append(now)
        return now

    def uncount(self, key: Hashable, moment: float) -> None:
        with self._lock, suppress(KeyError, ValueError):
            self._times[key].remove(moment)

    def _prune(self, now: float) -> None:
        """Drop the keys without recent events, and then the oldest ones beyond half the maximum."""
        recent = {
            key: times for key, times in self._times.items() if times and times[-1] > now - MINUTE
        }
        for key in list(recent)[: max(0, len(recent) - MAX_KEYS // 2)]:
            del recent[key]
        self._times = recent


class FailedLoginLimiter(RateLimit):
    """Limits the failed password checks of each key within any 60 seconds."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit, "Too many failed attempts")

    @contextmanager
    def attempt(self, key: Hashable) -> Iterator[None]:
        """Check a password inside. The attempt counts as failed if it raises Unauthenticated.

        Attempts in progress count too, so concurrent ones cannot exceed the limit. Raises
        TooManyRequests once the key has reached its limit.
        """
        moment = self.count(key)
        try:
            yield
        except Unauthenticated:
            raise
        except BaseException:
            self.uncount(key, moment)
            raise
        self.uncount(key, moment)
