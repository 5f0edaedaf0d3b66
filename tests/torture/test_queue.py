"""A long queue, and a service that is ended and killed in turns while it works it off."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.database import rows
from tests.support.harness import Figure, assert_caught, canary, scale, seeded
from tests.support.recordings import sound
from tests.support.site import TOKENS, Client, Site
from tests.support.waiting import until
from whisper_service.whisper import languages

JOB_SECONDS, FOR_EVER = 0.05, 1000
DONE = "SELECT count(*) FROM transcription WHERE status IN ('completed', 'failed')"
MILLISECONDS = 12  # digits at the beginning of an identifier


def attack(folder: Path, jobs: int, restarts: int, *, broken: str = "") -> Path:
    """Interrupt the work when all is queued, when a part is done, and again."""
    with Site(folder, broken=broken, seconds=FOR_EVER) as site:
        client = Client(site, "ann")
        files = upload(client, -(-jobs // len(languages.CODES)))
        orders = [(file, language) for file in files for language in sorted(languages.CODES)]
        for file, language in orders[:jobs]:
            client.order(file, language=language)
        until(lambda: running(site.storage))
        site.seconds = JOB_SECONDS
        for number in range(restarts):
            wait_for(site.storage, jobs * number // restarts)
            restart(site, in_order=bool(number % 2))
        wait_for(site.storage, jobs)
        client.close()
        assert site.stop() == 0
    audit(site.storage, jobs)
    return site.storage


def restart(site: Site, *, in_order: bool) -> None:
    if in_order:
        assert site.stop() == 0
        assert not running(site.storage)
    else:
        site.kill()
    interrupted = running(site.storage)
    site.start()
    assert not interrupted & running(site.storage)


def running(storage: Path) -> set[str]:
    """Return the runs that are under way according to the database."""
    claims = rows(storage, "SELECT DISTINCT claim FROM transcription WHERE status = 'processing'")
    return {claim for (claim,) in claims}


def upload(client: Client, count: int) -> list[str]:
    """Upload recordings, all of one length, and wait until they can be transcribed."""
    random = seeded()
    with ThreadPoolExecutor(2) as pool:
        files = list(pool.map(client.upload, [sound(random, 0.3) for _ in range(count)]))
    ready = "SELECT count(*) FROM file WHERE status = 'ready'"
    until(lambda: rows(client.site.storage, ready) == [(count,)])
    return files


def wait_for(storage: Path, done: int) -> None:
    """Wait until so many jobs are done, as long as there is another one now and then."""
    while (before := rows(storage, DONE)[0][0]) < done:
        until(lambda: rows(storage, DONE)[0][0] > before, 10)


def audit(storage: Path, jobs: int) -> None:
    """Each job is done once and paid once, and each run that counts began in order."""
    found = rows(
        storage,
        "SELECT t.status, t.transcript_id, t.claim, sum(l.amount) "
        "FROM transcription t JOIN ledger l ON l.subject = t.uuid GROUP BY t.id ORDER BY t.id",
    )
    assert [(status, paid) for status, _, _, paid in found] == [("completed", -1)] * jobs
    assert len({transcript for _, transcript, _, _ in found}) == jobs
    assert rows(storage, "SELECT count(*) FROM transcript") == [(jobs,)]
    assert rows(storage, "SELECT token_balance FROM user") == [(TOKENS - jobs,)]
    began = [claim[:MILLISECONDS] for _, _, claim, _ in found]
    assert began == sorted(began)


def test_a_queue_outlives_restarts(tmp_path: Path, figure: Figure) -> None:
    jobs, restarts = scale(1000, 60), scale(5, 2)
    storage = attack(tmp_path, jobs, restarts)
    again = "SELECT count(*) FROM ledger WHERE kind = 'refund'"
    figure(
        f"{jobs} queued jobs, {restarts} restarts",
        "each done once, in order",
        f"{jobs} done once, in order; {rows(storage, again)[0][0]} of them began again",
    )


@canary
@pytest.mark.parametrize("broken", ["interrupted jobs forgotten", "claims at random"])
def test_the_attack_detects(tmp_path: Path, broken: str) -> None:
    assert_caught(lambda: attack(tmp_path, 12, 1, broken=broken))
