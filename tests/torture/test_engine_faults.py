"""Recordings over which the engine crashes, hangs or runs out of memory."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from tests.support.database import rows
from tests.support.fake_engine import POISONS, crash
from tests.support.harness import FULL, SEED, Figure, assert_caught, canary, scale, seeded
from tests.support.load import Kind, Plan, Result, loaded
from tests.support.recordings import sound
from tests.support.site import TOKENS, Client, Site
from tests.support.waiting import until
from whisper_service.jobs.outcomes import MAX_ATTEMPTS

HANG_SECONDS = "2"  # until an engine is given up
GIVEN_UP = "The transcription was interrupted 3 times and is not tried again"
HEALTHY_SECONDS = 0.5
CRASHING = next(samples for samples, act in POISONS.items() if act is crash)


def poison(random: Random, samples: int) -> bytes:
    return random.randbytes(2 * samples)


def attack(
    folder: Path, poisons: Sequence[int], *, seconds: float, broken: str = ""
) -> tuple[int, Result]:
    """Have each poison transcribed amid its neighbours; return how many of those there were."""
    random = seeded()
    environ = {"ENGINE_SECONDS": HANG_SECONDS, "WHISPER_SERVICE_WORKER_JOBS": "2"}
    with Site(folder, broken=broken, **environ) as site:
        poisoner, neighbour = Client(site, "poisoner"), Client(site, "neighbour")
        pid, healthy, bad = site.pid, [], []
        with loaded(others(neighbour, seconds)) as result:
            for samples in poisons:
                bad += poisoner.order(poisoner.upload(poison(random, samples)))
                for client in (poisoner, neighbour):
                    recording = sound(random, HEALTHY_SECONDS)
                    healthy += client.order(client.upload(recording))
            until(lambda: ended(site.storage))
        assert site.pid == pid
        poisoner.close()
        neighbour.close()
        assert site.stop() == 0
        audit(site.storage, bad, healthy)
    return len(healthy), result


def others(client: Client, seconds: float) -> Plan:
    """Return a plan in which four clients poll a transcription's status."""
    (uuid,) = client.order(client.upload(sound(seeded(), HEALTHY_SECONDS)))
    client.wait(uuid)
    url = client.site.url()
    request = f"GET /api/v1/transcribe/{uuid} HTTP/1.1\r\nHost: here\r\n\r\n"
    return Plan(
        url,
        [Kind("status", 1, request)],
        seed=SEED,
        clients=4,
        seconds=seconds,
        pause=0.02,
        patience=30,
    )


def ended(storage: Path) -> bool:
    """Return whether nothing waits or runs; check that nothing is tried too often."""
    (found,) = rows(
        storage,
        "SELECT total(status IN ('pending', 'processing')), max(attempts) FROM transcription",
    )
    unfinished, attempts = found
    assert attempts <= MAX_ATTEMPTS
    return bool(unfinished == 0)


def audit(storage: Path, bad: Sequence[str], healthy: Sequence[str]) -> None:
    found = {
        uuid: result
        for uuid, *result in rows(
            storage,
            "SELECT t.uuid, status, error, attempts, total(l.kind = 'charge'), total(l.amount) "
            "FROM transcription t LEFT JOIN ledger l ON l.subject = t.uuid GROUP BY t.id",
        )
    }
    for uuid in bad:
        assert found[uuid] == ["failed", GIVEN_UP, MAX_ATTEMPTS, MAX_ATTEMPTS, 0]
    for uuid in healthy:
        assert found[uuid] == ["completed", None, 0, 1, -1]
    spent = "SELECT username, ? - token_balance FROM user".replace("?", str(TOKENS))
    half = len(healthy) // 2
    assert dict(rows(storage, spent)) == {"poisoner": half, "neighbour": half + 1}


def test_engines_that_crash_hang_and_run_out_of_memory(tmp_path: Path, figure: Figure) -> None:
    number = scale(20, 3)
    poisons = [list(POISONS)[count % len(POISONS)] for count in range(number)]
    healthy, result = attack(tmp_path, poisons, seconds=scale(40, 6))
    slow = result.percentile(99)
    assert set(result.statuses()) == {200}
    figure(
        f"engine killed, hung, out of memory, {number} times",
        "0 restarts, others' p99 < 100 ms, poison fails after 3 tries and is refunded",
        f"0 restarts, p99 {slow:.0f} ms of {len(result.asked)}, all refunded, "
        f"{healthy} neighbours done",
    )
    assert slow < (100 if FULL else 1000)


@canary
@pytest.mark.parametrize("broken", ["refund forgotten", "tried for ever"])
def test_the_attack_detects(tmp_path: Path, broken: str) -> None:
    assert_caught(lambda: attack(tmp_path, [CRASHING], seconds=1, broken=broken))
