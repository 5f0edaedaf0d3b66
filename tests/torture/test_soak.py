"""Job after job: what the service holds has to stay as it is."""

from dataclasses import dataclass, fields
from pathlib import Path
from statistics import linear_regression

import pytest

from tests.support.harness import Figure, assert_caught, canary, scale, seeded
from tests.support.recordings import sound
from tests.support.site import Client, Site, drain
from whisper_service.whisper import languages

SPOKEN = sorted(languages.CODES)[:10]
WARM_UP = scale(200, 20)  # jobs
KIB = 1024


@dataclass(frozen=True)
class Holdings:
    """What a process holds when it has nothing to do. `memory` is resident, in KiB."""

    descriptors: float
    threads: float
    memory: float
    temporary: float


# What may come by chance: a thread's connection to the database has three descriptors.
MOST = Holdings(descriptors=16, threads=2, memory=8 * KIB, temporary=0.5)


def attack(folder: Path, jobs: int, *, broken: str = "") -> Holdings:
    """Return how much more of each there is after the last job than after the warm-up."""
    random = seeded()
    held = []
    # Few threads have soon all done something.
    with Site(folder, broken=broken, WHISPER_SERVICE_SERVER_THREADS="4") as site:
        client = Client(site, "ann")
        for _ in range(0, jobs, len(SPOKEN)):
            work(client, sound(random, 0.3))
            held.append(holdings(site))
        client.close()
        assert site.stop() == 0
    more = growth(held[WARM_UP // len(SPOKEN) :])
    for kind in fields(Holdings):
        assert getattr(more, kind.name) < getattr(MOST, kind.name), more
    return more


def work(client: Client, recording: bytes) -> None:
    """Have a recording transcribed in some languages, and read the results."""
    file = client.upload(recording)
    orders = [order for spoken in SPOKEN for order in client.order(file, language=spoken)]
    drain(client.site.storage)
    client.enter()
    for order in orders:
        assert client.ask("GET", f"/transcribe/{order}")["data"]["text"] == "Hello world."
    assert client.request("GET", f"/file/{file}").content


def holdings(site: Site) -> Holdings:
    process = Path(f"/proc/{site.pid}")
    lines = (process / "status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines)
    return Holdings(
        descriptors=len(list((process / "fd").iterdir())),
        threads=int(status["Threads"]),
        memory=int(status["VmRSS"].split()[0]),
        temporary=len(list((site.storage / "tmp").iterdir())),
    )


def growth(held: list[Holdings]) -> Holdings:
    """Draw a line through what was held, and tell how much it rises from end to end."""
    rises = {}
    for kind in fields(Holdings):
        values = [getattr(holding, kind.name) for holding in held]
        line = linear_regression(range(len(values)), values)
        rises[kind.name] = line.slope * (len(values) - 1)
    return Holdings(**rises)


def test_nothing_grows(tmp_path: Path, figure: Figure) -> None:
    jobs = scale(2000, 60)
    more = attack(tmp_path, jobs)
    figure(
        f"soak, {jobs} jobs",
        "descriptors, threads, memory, temporary files flat",
        f"from job {WARM_UP} on {more.descriptors:+.1f} descriptors, {more.threads:+.1f} threads, "
        f"{more.memory / KIB:+.1f} MiB, {more.temporary:+.1f} files",
    )


@canary
@pytest.mark.parametrize(
    ("broken", "after"), [("descriptors leak", 30), ("temporary files left", 20)]
)
def test_the_attack_detects(tmp_path: Path, broken: str, after: int) -> None:
    assert_caught(lambda: attack(tmp_path, WARM_UP + after, broken=broken))
