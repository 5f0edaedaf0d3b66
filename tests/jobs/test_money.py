"""All that moves tokens, in any order, over a real database file."""

import itertools
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from peewee import IntegrityError

from tests.support.engine import segment
from tests.support.harness import SEED, Figure
from tests.support.jobs import add_file
from tests.support.service import PASSWORD
from whisper_service import billing, db, ids
from whisper_service.accounts import statistics, users
from whisper_service.config import AuthSettings, LimitsSettings
from whisper_service.errors import NotFound
from whisper_service.files import library
from whisper_service.files.storage import Storage
from whisper_service.jobs import abandoned, orders, outcomes, queue
from whisper_service.jobs.job import Job
from whisper_service.jobs.orders import TranscriptionRequest
from whisper_service.models.catalog import ModelFile
from whisper_service.tables import Checkpoint, File, LedgerEntry, Transcription, User
from whisper_service.transcript_key import TranscriptKey
from whisper_service.transcripts.transcript import Transcript
from whisper_service.whisper.chunking import Chunk
from whisper_service.whisper.options import Options
from whisper_service.whisper.protocol import Transcribed

STEPS = 50  # of one run, from an empty database
# A real file, of which no disk waits for every commit.
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - the folder is its own
RULES = AuthSettings(bcrypt_cost=4)
MODELS = [ModelFile(name, Path(name), 1, "1", is_english_only=False) for name in ("tiny", "large")]
HEARD = Transcript("Hello.", "en", 1.0, [segment(0, 1, "Hello.")])
PRICES = ["0", "0.07", "1", "1.000001", "2.5", "1000"]
FORMATS = ["verbose_json", "srt", "vtt"]
SAMPLES = st.sampled_from([1, 1600, 15_999, 16_000, 16_001, 1_600_000, 2_000_000])
BALANCES = st.sampled_from([0, 1, 7, 100, 5000, billing.MAX_BALANCE])
CHOICE = st.integers(0, 10**6)


class Money(RuleBasedStateMachine):
    """Accounts, files and jobs. What a step needs and is not there, it makes."""

    steps: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY)
        self.storage = Storage(Path(self.folder.name))
        db.open_database(self.storage.database)
        self.jobs: list[Job] = []
        self.costs: dict[tuple[str, str], int] = {}  # of each run of each transcription
        self.settled: dict[str, tuple[str, int]] = {}  # the run that was paid for good, its cost
        self.kept: dict[str, int] = {}  # of runs that their user ended with a deletion
        self.abandoned: dict[str, int] = {}  # of runs whose client went away, which may be resumed
        self.deleted: dict[str, set[int]] = {}  # what they may have cost

    def teardown(self) -> None:
        db.database.close()
        self.folder.cleanup()

    def count(self, step: str) -> None:
        Money.steps[step] += 1

    @initialize(balance=BALANCES)
    def begin(self, balance: int) -> None:
        self.register(balance)
        self.register(5000)
        self.admin = users.register("admin", PASSWORD, RULES, 0, is_admin=True)
        self.upload(1, 16_000)

    def register(self, balance: int) -> None:
        users.register(f"user-{ids.uuid7()[-8:]}", PASSWORD, RULES, balance)

    @rule(who=CHOICE, balance=BALANCES, price=st.sampled_from(PRICES))
    def administer(self, who: int, balance: int, price: str) -> None:
        """Come and go, and set a balance or a price: rarer than what becomes of jobs."""
        self.count("administer")
        user = one_of(User, who)
        if who % 8 == 0 and not user.is_admin and User.select().count() > 3:
            users.delete(user, PASSWORD, self.storage)
        elif who % 8 == 1:
            self.register(balance)
        elif who % 2:
            for row in running_of(user):
                cost = self.costs[row.uuid, row.claim]
                self.settled.setdefault(row.uuid, (row.claim, cost))
            statistics.update_user(self.admin, user.uuid, balance, None)
            assert User.get_by_id(user.id).token_balance == balance
        else:
            statistics.update_user(self.admin, user.uuid, None, Decimal(price))

    def upload(self, who: int, samples: int) -> None:
        add_file(one_of(User, who), samples)

    @rule(
        what=CHOICE,
        model=st.sampled_from(MODELS),
        formats=st.lists(st.sampled_from(FORMATS), min_size=1, max_size=4),
        new=st.none() | SAMPLES,
    )
    def submit(
        self,
        what: int,
        model: ModelFile = MODELS[0],
        formats: Sequence[str] = FORMATS,
        new: int | None = 16_000,
    ) -> None:
        self.count("submit")
        if new or not File.select().exists():
            self.upload(what, new or 16_000)
        file = one_of(File, what)
        order = TranscriptionRequest(model, "auto", formats, Options())
        orders.submit(User.get_by_id(file.user_id), file.uuid, order, LimitsSettings())

    @rule(which=CHOICE)
    def claim(self, which: int) -> None:
        self.count("claim")
        if not having("pending"):
            self.submit(which)
        prices = {user.id: user.price_micros for user in User.select()}
        if job := queue.claim_next(only_short=bool(which % 2)):
            self.jobs.append(job)
        self.note_costs(prices)

    @precondition(lambda _: having("completed"))
    @rule()
    def complete_stored(self) -> None:
        self.count("complete stored")
        prices = {user.id: user.price_micros for user in User.select()}
        queue.complete_stored()
        self.note_costs(prices)

    def note_costs(self, prices: dict[int, int]) -> None:
        for row in Transcription.select().where(Transcription.claim.is_null(is_null=False)):
            if (row.uuid, row.claim) not in self.costs:
                price = Fraction(prices[row.user_id], 10**6)
                cost = ceil(ceil(Fraction(row.samples, 16_000)) * price)
                left = max(0, cost - self.abandoned.get(row.uuid, 0))
                self.costs[row.uuid, row.claim] = 0 if row.uuid in self.settled else left

    @rule(which=CHOICE, samples=SAMPLES)
    def make_progress(self, which: int, samples: int) -> None:
        self.count("make progress")
        if not having("processing"):
            self.claim(which)
        running = [job for job in self.jobs if outcomes.is_wanted(job)]
        if running:
            job = running[which % len(running)]
            done = transcribed(job)
            stop = min(job.samples, done + samples)
            if stop > done:
                outcomes.save_checkpoint(job, Chunk(done, stop), Transcribed("en", []), job.samples)

    @rule(which=CHOICE)
    def complete(self, which: int) -> None:
        self.count("complete")
        self.end(which, lambda job: outcomes.complete(job, HEARD))

    @rule(which=CHOICE)
    def fail(self, which: int) -> None:
        self.count("fail")
        self.end(which, lambda job: outcomes.fail(job, "It broke"))

    @rule(which=CHOICE)
    def put_back(self, which: int) -> None:
        self.count("put back")
        self.end(which, outcomes.put_back)

    @rule(which=CHOICE)
    def retry(self, which: int) -> None:
        self.count("retry")
        self.end(which, lambda job: outcomes.retry(job.claim))

    def end(self, which: int, how: Callable[[Job], None]) -> None:
        """End a job, mostly one that runs: a worker may be late to speak up."""
        if not having("processing"):
            self.claim(which)
        running = [job for job in self.jobs if outcomes.is_wanted(job)]
        among = running if running and which % 4 else self.jobs
        if among:
            how(among[which % len(among)])

    @precondition(lambda _: having("processing"))
    @rule()
    def restart(self) -> None:
        self.count("restart")
        outcomes.requeue_interrupted()

    @precondition(lambda _: Transcription.select().exists())
    @rule(which=CHOICE)
    def delete(self, which: int) -> None:
        self.count("delete")
        row = one_of(Transcription, which)
        share = self.share_of(row)
        orders.delete(User.get_by_id(row.user_id), row.uuid)
        ended = row.status != "processing"
        self.deleted[row.uuid] = {self.cost_of(row) if ended else self.spent_before(row) + share}

    @rule(which=CHOICE)
    def abandon(self, which: int) -> None:
        self.count("abandon")
        if not having("processing"):
            self.claim(which)
        row = one_of(Transcription, which)
        share = self.share_of(row)
        abandoned.abandon(row.uuid)
        self.abandoned[row.uuid] = self.abandoned.get(row.uuid, 0) + share

    @precondition(lambda _: resumable().exists())
    @rule()
    def resume(self) -> None:
        self.count("resume")
        for row in resumable():
            model = next(each for each in MODELS if each.name == row.model)
            order = TranscriptionRequest(model, "auto", FORMATS, Options())
            user = User.get_by_id(row.user_id)
            with suppress(NotFound):  # its file was deleted
                abandoned.resume(user, row.file_uuid, order, LimitsSettings())

    @precondition(lambda _: File.select().count() > 2)
    @rule(which=CHOICE)
    def delete_file(self, which: int) -> None:
        self.count("delete file")
        file = one_of(File, which)
        of_it = Transcription.file_uuid == file.uuid
        for row in Transcription.select().where(of_it, Transcription.status == "processing"):
            self.kept[row.uuid] = self.share_of(row)
        library.delete(User.get_by_id(file.user_id), file.uuid, self.storage)

    @precondition(lambda _: having("processing"))
    @rule()
    def race(self) -> None:
        """Have the worker and a user change the same job at the same time."""
        self.count("race")
        row = Transcription.get(Transcription.status == "processing")
        before = self.spent_before(row)
        self.deleted[row.uuid] = {before, before + self.share_of(row)}
        other = threading.Thread(target=in_thread, args=(outcomes.retry, row.claim))
        other.start()
        orders.delete(User.get_by_id(row.user_id), row.uuid)
        other.join(10)

    def cost_of(self, row: Transcription) -> int:
        """Return what a transcription costs as it is."""
        is_paid = row.status in {"processing", "completed"} and not self.is_settled(row)
        run = self.costs[row.uuid, str(row.claim)] if is_paid else 0
        return self.spent_before(row) + run + self.kept.get(row.uuid, 0)

    def spent_before(self, row: Transcription) -> int:
        """Return what the settled and the abandoned runs of a transcription cost."""
        return self.settled.get(row.uuid, ("", 0))[1] + self.abandoned.get(row.uuid, 0)

    def is_settled(self, row: Transcription) -> bool:
        return self.settled.get(row.uuid, ("", 0))[0] == row.claim

    def share_of(self, row: Transcription) -> int:
        """Return what a deletion keeps of the price of a run, besides what abandoned ones cost."""
        if row.status != "processing" or self.is_settled(row) or not row.speech_samples:
            return 0
        share = Fraction(transcribed(row), row.speech_samples)
        before = self.abandoned.get(row.uuid, 0)
        return max(0, int((before + self.costs[row.uuid, row.claim]) * share) - before)

    @invariant()
    def ledger_adds_up(self) -> None:
        assert billing.find_wrong_balances() == []
        assert not User.select().where(User.token_balance < 0).exists()

    @invariant()
    def each_is_paid_once_or_not_at_all(self) -> None:
        paid = Counter[str]()
        for entry in LedgerEntry.select().where(LedgerEntry.kind != "grant"):
            paid[entry.subject] -= entry.amount
            if entry.kind == "charge":
                assert -entry.amount == self.costs[entry.subject, entry.claim]
        for row in Transcription.select():
            assert paid.pop(row.uuid, 0) == self.cost_of(row), row.status
        for uuid, amount in paid.items():
            assert amount in self.deleted[uuid]


def having(status: str) -> bool:
    return bool(Transcription.select().where(Transcription.status == status).exists())


def resumable() -> Any:
    return Transcription.select().where(Transcription.error_code == "client_gone")


def running_of(user: User) -> list[Transcription]:
    running = Transcription.status == "processing"
    return list(Transcription.select().where(running, Transcription.user_id == user.id))


def transcribed(what: Job | Transcription) -> int:
    """Add up the samples that the checkpoints of a job or transcription cover."""
    key = what.key if isinstance(what, Job) else TranscriptKey.of(what)
    rows = Checkpoint.select().where(*key.matching(Checkpoint))
    return sum(row.stop - row.start for row in rows)


def one_of(table: Any, which: int) -> Any:
    rows = list(table.select().order_by(table.id))
    return rows[which % len(rows)]


def in_thread(function: Callable[[str], None], argument: str) -> None:
    with db.database.connection_context():
        function(argument)


def attack(steps: int) -> int:
    """Take at least so many steps; return how many they were."""
    Money.steps.clear()
    for number in itertools.count(SEED):
        run_state_machine_as_test(
            seed(number)(Money),
            settings=settings(
                max_examples=5,
                stateful_step_count=STEPS,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
        if Money.steps.total() >= steps:
            break
    return Money.steps.total()


@pytest.mark.parametrize("steps", [200, pytest.param(10_000, marks=pytest.mark.torture)])
def test_money(figure: Figure, steps: int) -> None:
    done = attack(steps)
    figure(
        f"money, {done} steps",
        "balance = ledger, never below 0, each paid once or not at all",
        ", ".join(f"{count} {step}" for step, count in Money.steps.most_common()),
    )


def refund_unwritten(subject: str, claim: str, **_: int) -> None:
    paid = LedgerEntry.get(LedgerEntry.subject == subject, LedgerEntry.claim == claim)
    balance = User.token_balance - paid.amount
    User.update(token_balance=balance).where(User.id == paid.user_id).execute()


BROKEN: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "a refund is forgotten": (billing, "refund", lambda *_, **__: None),
    "a deletion gives back all": (
        billing,
        "refund_rest",
        lambda row: billing.refund(row.uuid, row.claim),
    ),
    "a grant settles nothing": (
        billing,
        "set_balance",
        lambda user, balance: billing.grant(user.id, balance - user.token_balance),
    ),
    "a refund is not written down": (billing, "refund", refund_unwritten),
    "what is resumed is paid twice": (billing, "due", lambda _subject, price: price),
    "a second is rounded down": (billing, "cost", lambda samples, _: samples // 16_000),
    "what ended can end again": (
        outcomes,
        "_running",
        lambda claim: Transcription.select().where(Transcription.claim == claim),
    ),
}


@pytest.mark.torture
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # of `race`
@pytest.mark.parametrize("broken", BROKEN)
def test_the_attack_detects(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    monkeypatch.setattr(*BROKEN[broken])
    # The ledger's key may be the first to find it.
    with pytest.raises((AssertionError, IntegrityError)):
        attack(20_000)
