"""What users and the worker do among many rows of everything, against few."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.report import elapsed, print_ratio
from tests.support.large_database import LARGE, LIKE, PER_USER, SMALL, fill, uuid
from tests.support.service import Api
from whisper_service import config, db
from whisper_service.config import Config
from whisper_service.files.storage import Storage
from whisper_service.jobs import outcomes, queue
from whisper_service.jobs.worker import Worker
from whisper_service.web import create_app
from whisper_service.web.services import Services

REPEATS = 200


def compare(folder: Path, pairs: int) -> None:
    """List, poll and claim among 100,000 transcriptions, against 1,000."""
    databases = {folder / "rows-large": (LARGE, 1 + LIKE), folder / "rows-small": (SMALL, 1)}
    for root, (count, _) in databases.items():
        with _opened(root):
            fill(range(1, count + 1))
            db.database.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[no-untyped-call]
    timed = [
        [_operations(root, user) for root, (_, user) in databases.items()] for _ in range(pairs)
    ]
    for name in timed[0][0]:
        row = [(large[name], small[name]) for large, small in timed]
        print_ratio(f"{name}, 100,000 over 1,000", row, "1.2", " ms")


@contextmanager
def _opened(root: Path) -> Iterator[Storage]:
    storage = Storage(root)
    db.open_database(storage.database)
    try:
        yield storage
    finally:
        db.database.close()


def _operations(root: Path, user: int) -> dict[str, float]:
    """Time what a user does, in milliseconds."""
    settings = Config(
        storage=config.StorageSettings(path=root), auth=config.AuthSettings(bcrypt_cost=4)
    )
    with _opened(root) as storage:
        app = create_app(Services(settings, storage, Worker(settings, storage)))
        api = Api(app.test_client(), f"Basic {uuid('session', user * 3)}")
        poll = f"/transcribe/{uuid('transcription', user * PER_USER - 3)}"

        def claim() -> None:
            job = queue.claim_next(user + 3)
            assert job
            outcomes.put_back(job)

        work = {"list": lambda: api.get("/file"), "poll": lambda: api.get(poll), "claim": claim}
        for one in work.values():
            one()
        return {name: _mean(one) for name, one in work.items()}


def _mean(work: Callable[[], object]) -> float:
    return elapsed(lambda: [work() for _ in range(REPEATS)]) / REPEATS * 1000
