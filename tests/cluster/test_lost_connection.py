"""Connections to the scheduler of a cluster that cannot be made, or are lost."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from distributed.security import Security

from tests.support.live import measured
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.waiting import until
from whisper_service.cluster import connection
from whisper_service.cluster.connection import Connection

ATTEMPTS = 3


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 0.3)


def connect(url: str) -> Connection:
    return Connection(url, Security(require_encryption=False))


@contextmanager
def scheduling(url: str) -> Iterator["subprocess.Popen[bytes]"]:
    program = [sys.executable, "-m", "whisper_service.cluster.scheduler", url]
    process = subprocess.Popen(program, cwd=ROOT, env={"PATH": "/usr/bin:/bin", **measured()})
    try:
        until(lambda: is_there(url))
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def url() -> str:
    return f"tcp://127.0.0.1:{free_port()}"


def is_there(url: str) -> bool:
    try:
        with connect(url):
            return True
    except OSError:
        return False


def test_attempts_in_vain_leave_no_threads_behind(url: str) -> None:
    threads = []
    for _ in range(ATTEMPTS):
        with pytest.raises(OSError, match="Timed out"):
            connect(url)
        threads.append(threading.active_count())
    assert threads == [threads[0]] * ATTEMPTS


def test_a_lost_connection_takes_no_task_and_leaves_no_thread_behind(url: str) -> None:
    with scheduling(url) as process:
        before = threading.active_count()  # with those that all connections share
        with connect(url) as connected:
            process.kill()
            until(lambda: connected._client.status == "closed")
            with pytest.raises(OSError, match="closed"):
                connected.call("tcp://127.0.0.1:1", int)
        assert threading.active_count() == before


def test_a_connection_stays_lost_though_dask_connects_again(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        with scheduling(url):
            monkeypatch.setattr(connection, "CONNECT_SECONDS", 30)
            connected = stack.enter_context(connect(url))
            assert connected.is_open
        until(lambda: not connected.is_open)
        with scheduling(url):
            until(lambda: connected._client.status == "running")
            assert not connected.is_open
            with pytest.raises(OSError, match="closed"):
                connected.workers()
