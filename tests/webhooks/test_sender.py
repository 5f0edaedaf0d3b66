"""When messages are sent: retries, turns, and the end of the service."""

import errno
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.jobs import submit
from tests.support.receiver import Receiver, answer, receiving, reset, say
from tests.support.service import Api, Service
from tests.support.waiting import until
from tests.support.webhooks import Clock, add_messages, create, send_all, send_test, show
from whisper_service.db import database
from whisper_service.jobs import threads
from whisper_service.tables import Transcription, WebhookAttempt, WebhookEndpoint, WebhookMessage
from whisper_service.webhooks import delivery, outbox
from whisper_service.webhooks.outbox import DELAYS
from whisper_service.webhooks.sender import Sender

BROKEN: dict[str, Callable[[Receiver], object]] = {
    "500": lambda receiver: setattr(receiver, "behave", answer(500)),
    "hang": lambda receiver: setattr(receiver, "behave", receiver.hang),
    "drip": lambda receiver: setattr(receiver, "behave", receiver.drip),
    "reset": lambda receiver: setattr(receiver, "behave", reset),
    "garbage": lambda receiver: setattr(receiver, "behave", say(b"\0" * 100)),
}


@contextmanager
def running(sender: Sender) -> Iterator[Sender]:
    sender.start()
    try:
        yield sender
    finally:
        sender.stop()


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register()


@pytest.mark.parametrize("broken", BROKEN)
def test_a_receiver_that_fails_for_a_while_gets_it_later(
    service: Service,
    sender: Sender,
    receiver: Receiver,
    clock: Clock,
    broken: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "TIMEOUT", 0.3)
    ann = service.register()
    hook = create(ann, receiver.url)
    submit(service, ann)
    service.work()
    BROKEN[broken](receiver)
    for _ in range(3):
        assert send_all(sender) == 1
        assert show(ann, hook)["failing_since"] > "2000"
        clock.ahead += 20 * 60
    receiver.behave = answer(200)
    assert send_all(sender) == 1
    assert len({received.id for received in receiver.received}) == 1
    row = Transcription.get()
    assert receiver.received[-1].content["data"]["uuid"] == row.uuid
    shown = show(ann, hook)
    assert (shown["waiting"], shown["failing_since"][:4]) == (0, "1970")
    made = shown["attempts"]
    assert [item["attempt"] for item in made] == [4, 3, 2, 1]
    assert {item["transcription_uuid"] for item in made} == {row.uuid}
    assert {item["type"] for item in made} == {"transcription.completed"}


def next_delay(ann: Api, hook: Any, clock: Clock) -> float:
    (due,) = WebhookMessage.select(WebhookMessage.due_at).tuples()
    assert show(ann, hook)["waiting"] == 1
    return due[0] - clock()


def test_retries_are_spread_over_three_days_and_then_given_up(
    ann: Api, sender: Sender, receiver: Receiver, clock: Clock
) -> None:
    receiver.behave = answer(500)
    hook = create(ann, receiver.url)
    send_test(ann, hook)
    for delay in DELAYS:
        assert send_all(sender) == 1
        assert delay - 2 <= next_delay(ann, hook, clock) <= delay * 1.1 + 2
        clock.ahead += delay / 2
        assert send_all(sender) == 0
        clock.ahead += delay
    assert sum(DELAYS) >= 3 * 24 * 3600
    assert send_all(sender) == 1
    shown = show(ann, hook)
    assert (shown["enabled"], shown["disabled_reason"], shown["waiting"]) == (False, "failing", 0)
    assert len(shown["attempts"]) == len(DELAYS) + 1
    assert shown["attempts"][0]["next_attempt_at"] == "1970-01-01 00:00:00"
    assert shown["attempts"][1]["next_attempt_at"] > "2000"


def test_an_endpoint_that_takes_other_messages_stays_enabled(
    ann: Api, sender: Sender, receiver: Receiver, clock: Clock
) -> None:
    hook = create(ann, receiver.url)
    poison = send_test(ann, hook)

    def behave(connection: Any) -> None:
        answer(500 if receiver.received[-1].id == poison else 200)(connection)

    receiver.behave = behave
    for _ in range(len(DELAYS) + 1):
        add_messages(hook, 1)
        assert send_all(sender) == 2
        clock.ahead += 2 * max(DELAYS)
    assert show(ann, hook)["enabled"]
    assert show(ann, hook)["waiting"] == 0


def test_gone_disables_the_endpoint_at_once(
    ann: Api, sender: Sender, receiver: Receiver, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.behave = answer(410)
    hook = create(ann, receiver.url)
    add_messages(hook, 3)
    assert send_all(sender) == 1
    clock.ahead += max(DELAYS)
    assert send_all(sender) == 0
    shown = show(ann, hook)
    assert (shown["enabled"], shown["disabled_reason"], shown["waiting"]) == (False, "gone", 3)
    assert "is disabled: gone" in caplog.text
    receiver.behave = answer(200)
    ann.call("PATCH", f"/webhook/{hook['uuid']}", json={"enabled": True})
    assert send_all(sender) == 3


@pytest.mark.parametrize(
    "asked",
    [(503, "90", 90), (429, "999999", 24 * 3600), (503, "soon", 5), (500, "90", 5), (503, "-9", 5)],
)
def test_a_receiver_may_ask_for_time(
    ann: Api, sender: Sender, receiver: Receiver, clock: Clock, asked: tuple[int, str, int]
) -> None:
    status, header, delay = asked
    receiver.behave = answer(status, f"Retry-After: {header}")
    hook = create(ann, receiver.url)
    send_test(ann, hook)
    send_all(sender)
    assert delay - 2 <= next_delay(ann, hook, clock) <= delay + 2


def test_the_last_100_attempts_are_kept(ann: Api, sender: Sender, receiver: Receiver) -> None:
    hooks = [create(ann, receiver.url), create(ann, receiver.url + "2")]
    old = {"message_uuid": "old", "type": "x", "number": 1, "at": 1, "error": "x", "next_at": 0}
    for endpoint in WebhookEndpoint.select():
        rows = [{**old, "endpoint_id": endpoint.id}] * outbox.MAX_ATTEMPTS
        WebhookAttempt.insert_many(rows).execute()
    for hook in hooks:
        add_messages(hook, 2)
    assert send_all(sender) == 4
    for hook in hooks:
        shown = [item["message_uuid"] for item in show(ann, hook)["attempts"]]
        assert len(shown) == 100
        assert shown[2:] == ["old"] * 98
        assert set(shown[:2]) < {received.id for received in receiver.received}


def test_a_slow_receiver_delays_only_its_own_messages(
    service: Service, sender: Sender, receiver: Receiver
) -> None:
    """Four others with several endpoints each that hang, and have failed before."""
    with receiving() as slow, running(sender):
        slow.behave = slow.hang
        for name in ("bob", "eve", "joe", "kim"):
            api = service.register(name)
            for number in range(3):
                add_messages(create(api, f"{slow.url}{number}"), 2)
        WebhookEndpoint.update(failing_since=1).execute()
        service.worker.changes.notify()
        until(lambda: slow.connections == 2)
        ann = service.register()
        hook = create(ann, receiver.url)
        add_messages(hook, 20)
        service.worker.changes.notify()
        until(lambda: len(receiver.received) == 20)
        assert slow.connections == 2


def test_a_user_has_one_attempt_under_way_and_a_new_receiver_that_hangs_leaves_threads(
    service: Service, sender: Sender, receiver: Receiver
) -> None:
    with receiving() as slow, running(sender):
        slow.behave = slow.hang
        bob, ann = service.register("bob"), service.register()
        for number in range(3):
            add_messages(create(bob, f"{slow.url}{number}"), 2)
        add_messages(create(ann, receiver.url), 10)
        service.worker.changes.notify()
        until(lambda: len(receiver.received) == 10 and slow.connections)
        assert slow.connections == 1


def test_users_take_turns_and_so_do_their_endpoints(
    service: Service, sender: Sender, receiver: Receiver
) -> None:
    for name in ("ann", "bob", "eve"):
        api = service.register(name)
        for number in range(2):
            add_messages(create(api, f"{receiver.url}/{name}/{number}"), 3)
    for _ in range(9):
        assert sender.send_once()
    who = [received.request_line.split()[1].split("/")[2:] for received in receiver.received]
    for start in range(0, 9, 3):
        assert {name for name, _ in who[start : start + 3]} == {"ann", "bob", "eve"}
    assert all(
        len({number for name, number in who[:6] if name == one}) == 2 for one in ("ann", "bob")
    )


def test_it_is_sent_when_it_happens(service: Service, sender: Sender, receiver: Receiver) -> None:
    ann = service.register()
    create(ann, receiver.url)
    with running(sender):
        submit(service, ann, format=["srt", "vtt"])
        service.work()
        until(lambda: len(receiver.received) == 2)


@pytest.mark.parametrize("where", ["answer", "handshake", "lookup"])
def test_a_stop_ends_attempts_as_if_they_had_not_begun(
    ann: Api,
    sender: Sender,
    receiver: Receiver,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over, looked_up, released = threading.Event(), threading.Event(), []

    def hang_in_lookup(*_: object) -> list[str]:
        looked_up.set()
        released.append(over.wait(60))
        return []

    monkeypatch.setattr(delivery, "TIMEOUT", 3600)
    receiver.behave, receiver.reads = receiver.hang, where != "handshake"
    url = receiver.url.replace("http:", "https:") if where == "handshake" else receiver.url
    hook = create(ann, url)
    if where == "lookup":
        monkeypatch.setattr(delivery.addresses, "look_up", hang_in_lookup)
    send_test(ann, hook)
    with running(sender):
        begun = {
            "answer": lambda: receiver.received,
            "handshake": lambda: receiver.connections,
            "lookup": looked_up.is_set,
        }
        until(begun[where])
    over.set()
    until(lambda: receiver.hung_up or released)
    assert (receiver.hung_up, released) == ((0, [True]) if where == "lookup" else (1, []))
    shown = show(ann, hook)
    assert (shown["attempts"], shown["waiting"]) == ([], 1)
    assert shown["failing_since"] == "1970-01-01 00:00:00"


def test_an_endpoint_that_is_deleted_while_it_is_sent_to(
    ann: Api, sender: Sender, receiver: Receiver
) -> None:
    hook = create(ann, receiver.url)
    send_test(ann, hook)

    def delete(connection: Any) -> None:
        database.connect(reuse_if_open=True)
        WebhookEndpoint.delete().execute()
        database.close()
        answer(500)(connection)

    receiver.behave = delete
    assert send_all(sender) == 1
    assert not WebhookAttempt.select().exists()


def test_what_is_unexpected_is_an_attempt_as_well(
    ann: Api,
    sender: Sender,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hook = create(ann, receiver.url)
    send_test(ann, hook)

    def fail(*_: object, **__: object) -> None:
        raise KeyError(receiver.url)

    monkeypatch.setattr(delivery.http_client, "post", fail)
    assert send_all(sender) == 1
    assert show(ann, hook)["attempts"][0]["error"] == "internal_error"
    assert "KeyError" in caplog.text
    assert "token" not in caplog.text


def test_on_a_full_disk_a_result_waits_and_nothing_is_sent_twice(
    ann: Api, sender: Sender, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, errors = outbox.record, [OSError(errno.ENOSPC, "full"), OSError(errno.ENOSPC, "full")]

    def record_at_last(*arguments: Any) -> str | None:
        if errors:
            raise errors.pop()
        return record(*arguments)

    monkeypatch.setattr(threads, "POLL_INTERVAL", 0.01)
    monkeypatch.setattr(outbox, "record", record_at_last)
    hook = create(ann, receiver.url)
    send_test(ann, hook)
    assert send_all(sender) == 1
    assert len(receiver.received) == 1
    assert len(show(ann, hook)["attempts"]) == 1
