"""What has to hold of a service's storage, whatever it went through."""

from pathlib import Path

from tests.support.database import rows
from tests.support.site import Promises
from whisper_service import billing


def audit_jobs(storage: Path, promises: Promises) -> None:
    """No job is lost, stuck or given up; each is paid once."""
    found = rows(
        storage,
        "SELECT t.uuid, t.status, t.error, t.samples, sum(l.amount), "
        "sum(l.kind = 'charge') - sum(l.kind = 'refund') "
        "FROM transcription t LEFT JOIN ledger l ON l.subject = t.uuid GROUP BY t.id",
    )
    # An order whose answer was lost is repeated, and then there are two.
    assert {row[0] for row in found} >= set(promises.orders)
    for _, status, error, samples, paid, runs_paid in found:
        price = billing.cost(samples or 0, billing.MICROS)
        assert (status, error, paid, runs_paid) == ("completed", None, -price, 1)
