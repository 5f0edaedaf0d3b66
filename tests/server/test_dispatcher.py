"""Which request a thread takes next."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests

from tests.support.harness import serving
from tests.support.live import Client, LiveServer
from tests.support.service import PASSWORD
from tests.support.waiting import until
from tests.support.wire import Wire, connected, head
from whisper_service.server.dispatcher import Dispatcher, PoolSize
from whisper_service.web.route_options import Pool

SECONDS = 60
UPLOADS, PARTS, PEOPLE = 16, 20, 50


@dataclass
class Task:
    """Does what `act` does, and notes in `served` that it has begun."""

    client: str
    served: list[str]
    act: Callable[[], object] = lambda: None
    pool: str = Pool.SHORT
    done: threading.Event = field(default_factory=threading.Event)
    is_cancelled: bool = False

    def service(self) -> None:
        self.served.append(self.client)
        try:
            self.act()
        finally:
            self.done.set()

    def cancel(self) -> None:
        self.is_cancelled = True


@contextmanager
def dispatching(**pools: PoolSize) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(pools)
    try:
        yield dispatcher
    finally:
        dispatcher.shutdown()


@contextmanager
def held(dispatcher: Dispatcher, *clients: str, pool: str = Pool.SHORT) -> Iterator[None]:
    """Keep a thread busy for each client."""
    leave = threading.Event()
    tasks = [Task(client, [], lambda: leave.wait(SECONDS), pool) for client in clients]
    for task in tasks:
        dispatcher.add_task(task)
    until(lambda: all(task.served for task in tasks))
    try:
        yield
    finally:
        leave.set()


def test_addresses_take_turns() -> None:
    served: list[str] = []
    tasks = [Task(client, served) for client in "aaaabbc"]
    with dispatching(short=PoolSize(1, 1)) as dispatcher:
        with held(dispatcher, "x"):
            for task in tasks:
                dispatcher.add_task(task)
        for task in tasks:
            assert task.done.wait(SECONDS)
    assert "".join(served) == "abcabaa"


def test_an_address_does_not_get_all_threads() -> None:
    flood, other = (Task(client, []) for client in "ab")
    with dispatching(short=PoolSize(3, 2)) as dispatcher:
        with held(dispatcher, "a", "a"):
            dispatcher.add_task(flood)
            dispatcher.add_task(other)
            assert other.done.wait(SECONDS)
            assert not flood.done.is_set()
        assert flood.done.wait(SECONDS)


def test_a_pool_that_is_busy_holds_up_no_other() -> None:
    slow, quick = Task("a", [], pool="uploads"), Task("a", [])
    with dispatching(short=PoolSize(1, 1), uploads=PoolSize(1, 1)) as dispatcher:
        with held(dispatcher, "a", pool="uploads"):
            dispatcher.add_task(slow)
            dispatcher.add_task(quick)
            assert quick.done.wait(SECONDS)
            assert not slow.done.is_set()
        assert slow.done.wait(SECONDS)


def test_a_task_that_fails_ends_no_thread(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ValueError("broken")

    last = Task("a", [])
    with dispatching(short=PoolSize(1, 1)) as dispatcher:
        for _ in range(3):
            dispatcher.add_task(Task("a", [], fail))
        dispatcher.add_task(last)
        assert last.done.wait(SECONDS)
    assert caplog.text.count("ValueError: broken") == 3


def test_the_end_waits_for_what_runs_and_cancels_the_rest() -> None:
    running, waiting = Task("a", [], lambda: time.sleep(0.3)), Task("a", [])
    dispatcher = Dispatcher({Pool.SHORT: PoolSize(1, 1)})
    dispatcher.add_task(running)
    until(lambda: bool(running.served))
    dispatcher.add_task(waiting)
    dispatcher.shutdown()
    assert running.done.is_set()
    assert waiting.is_cancelled
    assert not waiting.served


@pytest.fixture
def server(stub_models: Path, tmp_path: Path) -> Iterator[LiveServer]:
    with serving(tmp_path, stub_models, WHISPER_SERVICE_AUTH_BCRYPT_COST="4") as server:
        yield server


@pytest.mark.torture
def test_uploads_leave_threads_for_short_requests(server: LiveServer) -> None:
    """Each upload takes a while: an ffmpeg looks at each of its parts."""
    body = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="f"; filename="%d.mp3"\r\n\r\nID3%d\r\n'
        % (number, number)
        for number in range(PARTS)
    )
    body += b"--x--\r\n"
    key = Client(server, "ann").headers["Authorization"]
    form = {"Content_Type": "multipart/form-data; boundary=x", "Authorization": key}
    with ExitStack() as stack:
        uploads = [stack.enter_context(connected(server)) for _ in range(UPLOADS)]
        for wire in uploads:
            wire.send(head("POST", "/file", Content_Length=len(body), **form), body)
        with connected(server) as wire:
            assert wire.asked(head("GET", "/health")).status == 200
        assert not any(map(is_answered, uploads))
        assert [wire.answer().status for wire in uploads] == [200] * UPLOADS


def is_answered(wire: Wire) -> bool:
    wire.connection.setblocking(False)  # noqa: FBT003
    try:
        wire._more()
    except BlockingIOError:
        return False
    finally:
        wire.connection.settimeout(60)
    return True


def test_all_who_register_at_once_are_served(server: LiveServer) -> None:
    together = threading.Barrier(PEOPLE)

    def register(number: int) -> int:
        body = {"username": f"person-{number}", "password": PASSWORD}
        together.wait(SECONDS)
        url = f"{server.url}/api/v1/user/register"
        return requests.post(url, json=body, timeout=60).status_code

    with ThreadPoolExecutor(PEOPLE) as people:
        assert list(people.map(register, range(PEOPLE))) == [200] * PEOPLE
