"""The connection to a scheduler, whatever becomes of that."""

from collections.abc import Iterator

import pytest

from tests.support.cluster import Cluster, Member
from tests.support.waiting import until
from whisper_service.cluster import address, machine
from whisper_service.cluster.connection import Call, Connection
from whisper_service.config import ClusterSettings


@pytest.fixture
def scheduler(cluster: Cluster) -> Member:
    return cluster.start_scheduler()


@pytest.fixture
def connection(cluster: Cluster, scheduler: Member) -> Iterator[Connection]:
    settings = ClusterSettings(cluster.url)
    with Connection(cluster.url, address.check(settings)) as connection:
        yield connection


def give(connection: Connection, worker: str) -> Call:
    return connection.call(worker, machine.receive, "no hash", 1, 0, b"")


def test_a_task_that_fails_says_why(cluster: Cluster, connection: Connection) -> None:
    cluster.start_worker()
    until(connection.workers)
    (worker,) = connection.workers()
    call = give(connection, worker)
    assert call.wait(30)
    with pytest.raises(OSError, match="A task of the cluster failed: not a hash"):
        call.result()
    call.end()


def test_a_task_for_a_worker_that_is_not_there_waits(connection: Connection) -> None:
    call = give(connection, "tcp://127.0.0.2:1")
    assert not call.wait(0)
    call.end()


def test_without_its_scheduler_it_is_of_no_use(
    cluster: Cluster, connection: Connection, scheduler: Member
) -> None:
    call = give(connection, "tcp://127.0.0.2:1")
    assert connection.workers() == {}
    scheduler.kill()
    assert call.wait(30)
    with pytest.raises(OSError, match="A task of the cluster failed"):
        call.result()
    with pytest.raises(OSError, match="The connection to the scheduler is closed"):
        connection.workers()


def test_once_it_is_closed_it_takes_no_task(connection: Connection) -> None:
    """An engine may still try: it knows a moment later that its machine is lost."""
    connection.__exit__()
    with pytest.raises(OSError, match="The connection to the scheduler is closed"):
        give(connection, "tcp://127.0.0.2:1")
    with pytest.raises(OSError, match="The connection to the scheduler is closed"):
        connection.workers()


def test_where_nothing_listens_there_is_none(cluster: Cluster) -> None:
    with pytest.raises(OSError):  # noqa: PT011 - whatever it says
        Connection(cluster.url, address.check(ClusterSettings(cluster.url)))
