"""Claims, charges and refunds."""

import threading

import peewee
import pytest

from tests.support.engine import segment
from tests.support.jobs import balance, claim, statuses, submit
from tests.support.paths import DATA
from tests.support.service import Api, Service
from whisper_service import billing, db
from whisper_service.jobs import outcomes, queue
from whisper_service.jobs.job import Job
from whisper_service.tables import LedgerEntry, StoredTranscript, Transcription, User
from whisper_service.transcripts.transcript import Transcript

HEARD = Transcript("Hello.", "en", 11.0, [segment(0, 11, "Hello.")])


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register("ann")


@pytest.mark.parametrize(
    ("samples", "price_micros", "cost"),
    [
        (16_000, 1_000_000, 1),
        (16_001, 1_000_000, 2),
        (1, 1_000_000, 1),
        (1_600_000, 70_000, 7),  # as floats, ceil(100 * 0.07) is 8
        (1_600_000, 70_001, 8),
        (16_000 * 60, 0, 0),
        (16_000 * 3600 * 12, 1_000_000_000, 43_200_000),
    ],
)
def test_cost_is_exact(samples: int, price_micros: int, cost: int) -> None:
    assert billing.cost(samples, price_micros) == cost


def test_formats_share_a_run_and_each_is_paid(service: Service, ann: Api) -> None:
    submit(service, ann, format=["verbose_json", "srt", "vtt", "srt"])
    job = claim()
    assert queue.claim_next() is None
    assert statuses() == ["processing"] * 3
    assert balance() == 1000 - 33
    outcomes.complete(job, HEARD)
    assert statuses() == ["completed"] * 3
    assert StoredTranscript.select().count() == 1
    assert balance() == 1000 - 33


def test_a_later_request_joins_what_still_waits(service: Service, ann: Api) -> None:
    submit(service, ann)
    submit(service, ann, language="en")
    submit(service, ann, format="srt")
    first, second = claim(), claim()
    assert [first.key.language, second.key.language] == ["auto", "en"]
    assert queue.claim_next() is None
    assert {
        row.claim for row in Transcription.select().where(Transcription.language == "auto")
    } == {first.claim}


def test_what_the_balance_does_not_cover_fails(service: Service, ann: Api) -> None:
    User.update(token_balance=25).execute()
    LedgerEntry.update(amount=25).execute()
    submit(service, ann, format=["verbose_json", "srt", "vtt"])
    job = claim()
    assert statuses() == ["processing", "processing", "failed"]
    failed = Transcription.get(Transcription.status == "failed")
    assert failed.error == "Insufficient token balance. Required: 11, Available: 3"
    outcomes.fail(job, "Something broke")
    assert balance() == 25


def test_a_queue_of_paupers_does_not_hold_up_the_next(service: Service, ann: Api) -> None:
    User.update(token_balance=10).execute()
    for name in ("jfk.wav", "austen-0870.wav", "austen-0880.wav"):  # 11, 8 and 3 seconds
        submit(service, ann, DATA / name)
    job = claim()
    assert statuses() == ["failed", "processing", "pending"]
    assert job.samples == pytest.approx(7.1 * 16_000, abs=160)


def test_a_failure_gives_the_tokens_back(service: Service, ann: Api) -> None:
    submit(service, ann, format=["srt", "vtt"])
    outcomes.fail(claim(), "Something broke")
    assert statuses() == ["failed", "failed"]
    assert balance() == 1000


def test_a_stop_in_order_costs_no_attempt(service: Service, ann: Api) -> None:
    submit(service, ann)
    for _ in range(5):
        outcomes.put_back(claim())
    assert statuses() == ["pending"]
    assert Transcription.get().attempts == 0
    assert balance() == 1000


def test_a_late_result_of_a_lost_run_changes_nothing(service: Service, ann: Api) -> None:
    submit(service, ann)
    lost = claim()
    outcomes.requeue_interrupted()
    again = claim()
    outcomes.complete(lost, HEARD)
    outcomes.fail(lost, "late")
    assert statuses() == ["processing"]
    outcomes.complete(again, HEARD)
    assert statuses() == ["completed"]
    assert balance() == 1000 - 11


def test_the_ledger_refuses_a_second_charge_or_refund(service: Service, ann: Api) -> None:
    (uuid,) = submit(service, ann)
    job = claim()
    user = User.get()
    with pytest.raises(peewee.IntegrityError), db.write_transaction():
        billing.charge(user.id, uuid, job.claim, 11)
    outcomes.fail(job, "Something broke")
    with pytest.raises(peewee.IntegrityError), db.write_transaction():
        billing.refund(uuid, job.claim)
    assert balance() == 1000


def test_a_job_is_claimed_once(service: Service, ann: Api) -> None:
    for name in ("jfk.wav", "austen-0870.wav", "austen-0880.wav"):
        submit(service, ann, DATA / name)
    won: list[Job] = []

    def race() -> None:
        db.database.connect(reuse_if_open=True)
        while job := queue.claim_next():
            won.append(job)
        db.database.close()

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({job.key.file_uuid for job in won}) == len(won) == 3
