"""How many connections one address may have, with and without a proxy."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.live import Client, LiveServer, served, start_server
from tests.support.waiting import until
from tests.support.wire import connected, head

CROWD = 20
PROXY = "127.0.0.7"


@pytest.fixture(scope="module")
def server(stub_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    yield from served(
        start_server(
            tmp_path_factory.mktemp("connections"),
            stub_models,
            WHISPER_SERVICE_SERVER_CONNECTIONS_PER_ADDRESS=str(CROWD),
            WHISPER_SERVICE_SERVER_TRUSTED_PROXY=PROXY,
        )
    )


def test_connections_per_address_are_limited(server: LiveServer) -> None:
    with ExitStack() as stack:
        first, *_ = [stack.enter_context(connected(server, "127.0.0.5")) for _ in range(CROWD)]
        assert first.asked(head("GET", "/health")).status == 200
        with connected(server, "127.0.0.5") as refused:
            assert refused.is_ended()
        with connected(server, "127.0.0.6") as other:
            assert other.asked(head("GET", "/health")).status == 200
        first.connection.close()
        until_served(server, "127.0.0.5")


def until_served(server: LiveServer, source: str) -> None:
    """Wait until the server has seen that a connection is gone."""

    def is_served() -> bool:
        with connected(server, source) as wire, suppress(EOFError, ConnectionError):
            return wire.asked(head("GET", "/health")).status == 200
        return False

    until(is_served)


@pytest.mark.parametrize(
    ("client", "same", "other"),
    [
        ("10.0.0.1", "10.0.0.1", "10.0.0.2"),
        ("2001:db8::1", "[2001:db8::2]:4711", "2001:db8:0:1::1"),
        ("10.0.0.3", "::ffff:10.0.0.3", "::ffff:10.0.0.4"),
    ],
)
def test_connections_through_a_proxy_count_for_its_clients(
    server: LiveServer, client: str, same: str, other: str
) -> None:
    def asking(name: str, **more: str) -> bytes:
        headers = {"X_Forwarded_For": f"10.9.9.9, {name}", **more}
        return head("POST", "/user/login", Content_Length=9, **headers)

    with ExitStack() as stack:
        busy = [stack.enter_context(connected(server, PROXY)) for _ in range(CROWD)]
        for wire in busy:
            wire.send(asking(client, Expect="100-continue"))
            assert wire.answer().status == 100  # so it is known
        with connected(server, PROXY) as wire:
            refused = wire.asked(asking(same))
            assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        with connected(server, PROXY) as wire:
            assert wire.asked(asking(other), b"[1, 2, 3]").status == 400
        for wire in busy:  # what is kept for later counts for nobody
            assert wire.asked(b"[1, 2, 3]").status == 400
        for _ in range(3):
            wire = stack.enter_context(connected(server, PROXY))
            assert wire.asked(asking(client), b"[1, 2, 3]").status == 400


def test_a_proxys_clients_have_limits_of_their_own(server: LiveServer) -> None:
    Client(server, "ann")
    body = json.dumps({"username": "ann", "password": "wrong"}).encode()

    def statuses(client: str, source: str = PROXY) -> list[int]:
        request = head(
            "POST", "/user/login", Content_Length=len(body), X_Forwarded_For=f"10.9.9.9, {client}"
        )
        with connected(server, source) as wire:
            return [wire.asked(request, body).status for _ in range(11)]

    assert statuses("::ffff:192.0.2.7") == [401] * 10 + [429]
    assert statuses("192.0.2.7") == [429] * 11
    assert statuses("::ffff:192.0.2.8") == [401] * 10 + [429]
    assert statuses("10.1.1.1", "127.0.0.8") == [401] * 10 + [429]
    assert statuses("10.1.1.2", "127.0.0.8") == [429] * 11  # no proxy, so it is not believed
