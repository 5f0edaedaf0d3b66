"""People who guess passwords, 16 at once. To check one takes a core for a quarter of a second."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.harness import FULL, Figure, canary, scale, serving
from tests.support.live import Client
from tests.support.load import Result, kind, loaded, plan
from tests.support.wire import Answer, connected, head, login

FLOODERS = 16
# So many wrong guesses are for other limits to stop; here each is checked.
UNLIMITED = {
    "WHISPER_SERVICE_AUTH_FAILURES_PER_ACCOUNT": "1000000",
    "WHISPER_SERVICE_AUTH_FAILURES_PER_ACCOUNT_TOTAL": "1000000",
    "WHISPER_SERVICE_AUTH_FAILURES_PER_ADDRESS": "1000000",
}
COST = {"WHISPER_SERVICE_AUTH_BCRYPT_COST": str(scale(12, 10))}


def flood(folder: Path, models: Path, seconds: float, broken: str = "") -> tuple[Result, Result]:
    """Guess at passwords; return what the guesses came to, and other requests meanwhile.

    Every guess is served, in its turn.
    """
    with serving(folder, models, broken=broken, **UNLIMITED, **COST) as server:
        key = Client(server, "ann").headers["Authorization"]
        guesses = [kind(name, 1, login(name, "no")) for name in ("ann", "bob", "carol")]
        profile = [kind("profile", 1, head("GET", "/user", Authorization=key))]
        guessing = plan(server.url, guesses, FLOODERS, seconds, patient=False)
        using = plan(server.url, profile, 4, seconds, pause=0.02)
        with loaded(guessing) as guessed, loaded(using) as used:
            pass
    assert set(guessed.statuses()) == {401}
    assert set(used.statuses()) == {200}
    assert used.percentile(99) < (100 if FULL else 1000)
    return guessed, used


def test_a_flood_of_logins_leaves_others_their_time(
    stub_models: Path, tmp_path: Path, figure: Figure
) -> None:
    seconds = scale(20, 3)
    guessed, used = flood(tmp_path, stub_models, seconds)
    figure(
        f"login flood, {FLOODERS} at once, {seconds} s",
        "others' p99 < 100 ms",
        f"p50 {used.percentile(50):.0f}, p99 {used.percentile(99):.0f} ms of {len(used.asked)}; "
        f"{guessed.statuses()[401]} checked",
    )


@canary
def test_the_attack_detects_logins_in_the_common_pool(stub_models: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        flood(tmp_path, stub_models, 1.5, "one pool")


def compare(folder: Path, models: Path, rounds: int, broken: str = "") -> tuple[float, float]:
    """Log in as somebody and as nobody, in turns; return the medians of the milliseconds."""
    known, unknown = [], []
    with serving(folder, models, broken=broken, **UNLIMITED, **COST) as server:
        Client(server, "ann")
        with connected(server) as wire:

            def ask(name: str) -> Answer:
                return wire.asked(login(name, "Wrong-Horse-9"))

            answers = [ask("ann"), ask("nobody")]  # the first takes longer, whoever it is
            for number in range(rounds):
                known.append(timed(lambda: ask("ann")))
                unknown.append(timed(lambda name=f"nobody-{number}": ask(name)))
    assert {(answer.status, answer.text) for answer in answers} == {(401, "Authentication failed")}
    medians = statistics.median(known), statistics.median(unknown)
    assert abs(medians[0] - medians[1]) < (0.1 if FULL else 0.5) * max(medians)
    return medians


def timed(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return (time.perf_counter() - begun) * 1000


def test_a_name_that_is_unknown_takes_as_long(
    stub_models: Path, tmp_path: Path, figure: Figure
) -> None:
    known, unknown = compare(tmp_path, stub_models, scale(40, 8))
    figure(
        "login with a known and an unknown name",
        "medians differ < 10 %",
        f"{known:.0f} and {unknown:.0f} ms: {abs(known - unknown) / max(known, unknown):.1%}",
    )


@canary
def test_the_attack_detects_a_name_that_shows(stub_models: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        compare(tmp_path, stub_models, 5, "known names take longer")
