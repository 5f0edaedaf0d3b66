"""One attempt: what is sent, to which address, and what its end is called."""

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import certificates
from tests.support.receiver import Receiver, answer, receiving, reset, say
from tests.support.service import Service
from tests.support.webhooks import Clock, create, send_all, send_test, show
from whisper_service.config import WebhooksSettings
from whisper_service.tables import User, WebhookEndpoint
from whisper_service.webhooks import connection, delivery
from whisper_service.webhooks.sender import Sender

Names = Callable[[str, str], None]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """Let host names resolve to addresses; several are tried one after another by lookup."""
    known: dict[str, list[str]] = {}
    resolve = socket.getaddrinfo

    def look_up(host: str, *arguments: Any, **more: Any) -> Any:
        if host in known and more.get("flags") != socket.AI_NUMERICHOST:
            found = known[host]
            host = found.pop(0) if len(found) > 1 else found[0]
            return [each for one in host.split() for each in resolve(one, *arguments, **more)]
        return resolve(host, *arguments, **more)

    def name(host: str, *addresses: str) -> None:
        known[host] = list(addresses)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return name


@pytest.fixture
def careful(service: Service, clock: Clock) -> Iterator[Sender]:
    """A sender that connects to public addresses alone."""
    sender = Sender(WebhooksSettings(enabled=True), service.worker.changes, clock)
    yield sender
    sender.stop()


def attempt(service: Service, sender: Sender, url: str) -> tuple[int | None, str | None]:
    """Send a test to a new endpoint with a URL; return the status and the error."""
    ann = service.register(f"ann{User.select().count()}")
    hook = create(ann, url)
    send_test(ann, hook)
    assert send_all(sender) == 1
    (made,) = show(ann, hook)["attempts"]
    assert (made["next_attempt_at"][:4] == "1970") == (made["http_status"] == 204)
    return made["http_status"], made["error"]


def test_a_message_is_posted_and_signed(
    service: Service, sender: Sender, receiver: Receiver
) -> None:
    ann = service.register()
    hook = create(ann, receiver.url)
    send_test(ann, hook)
    send_all(sender)
    (received,) = receiver.received
    assert received.request_line == "POST /hook?token=secret HTTP/1.1"
    assert received.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["user-agent"] == "whisper-service-webhooks"
    assert "cookie" not in received.headers
    content = received.verify(hook["secret"])
    assert content.keys() == {"type", "timestamp", "data"}
    assert content["timestamp"][10::9] == "TZ"


def test_only_2xx_is_success(service: Service, sender: Sender, receiver: Receiver) -> None:
    ann = service.register()
    for status in (200, 201, 299, 300, 302, 400, 404, 500, 599):
        receiver.behave = answer(status, "Location: http://127.0.0.1:1/", "Set-Cookie: a=b")
        hook = create(ann, f"{receiver.url}{status}")
        send_test(ann, hook)
        assert send_all(sender) == 1
        shown = show(ann, hook)
        assert shown["attempts"][0]["http_status"] == status
        assert shown["waiting"] == (0 if 200 <= status < 300 else 1)


GARBAGE = {
    "nothing": b"",
    "no HTTP": b"garbage\r\n\r\n",
    "a long status": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a low status": b"HTTP/1.1 099 No\r\n\r\n",
    "HTTP/2": b"HTTP/2 200 OK\r\n\r\n",
    "a long line": b"x" * 100_000,
    "many headers": b"HTTP/1.1 103 Early\r\n" + b"a: b\r\n" * 50_000,
    "many answers": b"HTTP/1.1 100 Go on\r\n\r\n" * 10_000,
}


def test_what_is_no_answer_fails(service: Service, sender: Sender, receiver: Receiver) -> None:
    for what, garbage in GARBAGE.items():
        receiver.behave = say(garbage)
        assert attempt(service, sender, receiver.url) == (None, "invalid_response"), what


def test_a_connection_that_is_reset_fails(
    service: Service, sender: Sender, receiver: Receiver
) -> None:
    receiver.behave = reset
    assert attempt(service, sender, receiver.url) == (None, "connection_lost")


def test_provisional_answers_are_skipped(
    service: Service, sender: Sender, receiver: Receiver
) -> None:
    receiver.behave = say(
        b"HTTP/1.1 100 \r\n\r\nHTTP/1.1 103 x\r\na: b\r\n\r\nHTTP/1.0 204\r\n\r\n"
    )
    assert attempt(service, sender, receiver.url) == (204, None)


@pytest.mark.parametrize("behaviour", ["hang", "drip"])
def test_all_of_an_attempt_has_one_time_limit(
    service: Service,
    sender: Sender,
    receiver: Receiver,
    behaviour: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "TIMEOUT", 0.5)
    receiver.behave = getattr(receiver, behaviour)
    assert attempt(service, sender, receiver.url) == (None, "timeout")
    assert receiver.received


def test_a_name_server_that_hangs_holds_no_sender(
    service: Service, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(delivery, "TIMEOUT", 0.2)
    monkeypatch.setattr(delivery.addresses, "look_up", lambda *_: over.wait(60) or [])
    assert attempt_by_name(service, sender) == (None, "timeout")
    over.set()


def attempt_by_name(service: Service, sender: Sender) -> tuple[int | None, str | None]:
    """Attempt it for an endpoint that was created before names could not be resolved."""
    ann = service.register()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("whisper_service.webhooks.urls.check", lambda *_, **__: None)
        hook = create(ann, "http://receiver.test/")
    send_test(ann, hook)
    assert send_all(sender) == 1
    (made,) = show(ann, hook)["attempts"]
    return made["http_status"], made["error"]


def test_a_closed_port_and_an_unknown_name(service: Service, sender: Sender) -> None:
    with receiving() as gone:
        url = gone.url
    assert attempt(service, sender, url) == (None, "connection_refused")


def test_an_unknown_name(service: Service, sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert attempt(service, sender, "http://receiver.test/") == (None, "name_not_found")


def test_a_name_with_a_private_address_gets_no_connection(
    service: Service, careful: Sender, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: connected.append(address))
    for address in (
        *("127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "fd00::1", "::ffff:127.0.0.1"),
        *("64:ff9b::7f00:1", "0.0.0.1", "8.8.8.8 127.0.0.1", "127.0.0.1 8.8.8.8"),
    ):
        names("receiver.test", address)
        end = attempt(service, careful, "http://receiver.test/")
        assert end == (None, "address_not_allowed"), address
    assert connected == []


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_private_receiver_gets_no_connection(
    service: Service, careful: Sender, names: Names, host: str
) -> None:
    with receiving(host) as receiver:
        names("receiver.test", host)
        url = f"http://receiver.test:{receiver.port}/"
        assert attempt(service, careful, url) == (None, "address_not_allowed")
    assert receiver.connections == 0


def test_an_endpoint_that_was_allowed_before_gets_no_connection(
    service: Service, careful: Sender, receiver: Receiver
) -> None:
    assert attempt(service, careful, receiver.url) == (None, "address_not_allowed")
    assert receiver.connections == 0


def test_a_name_that_changes_after_the_check_is_not_asked_again(
    service: Service, careful: Sender, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The public address that was checked is the one that is connected to."""
    connected: list[Any] = []

    def refuse(_: socket.socket, address: Any) -> None:
        connected.append(address)
        raise ConnectionRefusedError

    with receiving() as receiver:
        names("receiver.test", "8.8.8.8", "127.0.0.1")
        monkeypatch.setattr(socket.socket, "connect", refuse)
        url = f"http://receiver.test:{receiver.port}/"
        assert attempt(service, careful, url) == (None, "connection_refused")
        assert connected == [("8.8.8.8", receiver.port)]
    assert receiver.connections == 0


def test_redirects_are_not_followed(service: Service, sender: Sender, receiver: Receiver) -> None:
    with receiving() as internal:
        receiver.behave = answer(307, f"Location: {internal.url}")
        assert attempt(service, sender, receiver.url) == (307, None)
    assert internal.connections == 0


def test_the_environments_proxies_are_not_used(
    service: Service, sender: Sender, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert attempt(service, sender, receiver.url) == (204, None)
    assert proxy.connections == 0


def test_the_next_address_is_tried(
    service: Service, sender: Sender, receiver: Receiver, names: Names
) -> None:
    names("receiver.test", "127.0.0.2 127.0.0.1")
    assert attempt(service, sender, f"http://receiver.test:{receiver.port}/") == (204, None)
    assert receiver.received[0].headers["host"] == f"receiver.test:{receiver.port}"


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with an authority that the system trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.make_authority(tmp_path)))
    connection._tls.cache_clear()
    yield tmp_path
    connection._tls.cache_clear()


@pytest.mark.parametrize("name", ["receiver.test", "other.test"])
def test_the_certificate_has_to_be_for_the_name(
    service: Service, sender: Sender, names: Names, name: str, trusted: Path
) -> None:
    names("receiver.test", "127.0.0.1")
    with receiving(context=certificates.server_context(trusted, name)) as receiver:
        end = attempt(service, sender, f"HTTPS://receiver.test:{receiver.port}/")
        right = name == "receiver.test"
        assert end == ((204, None) if right else (None, "tls_failed"))
        assert len(receiver.received) == right


def test_a_certificate_of_an_unknown_authority_fails(
    service: Service, sender: Sender, names: Names, tmp_path: Path
) -> None:
    certificates.make_authority(tmp_path)
    names("receiver.test", "127.0.0.1")
    with receiving(context=certificates.server_context(tmp_path, "receiver.test")) as receiver:
        url = f"https://receiver.test:{receiver.port}/"
        assert attempt(service, sender, url) == (None, "tls_failed")
        assert receiver.received == []


@pytest.mark.parametrize("behaviour", ["hang", "drip"])
def test_a_handshake_has_the_same_time_limit(
    service: Service,
    sender: Sender,
    receiver: Receiver,
    behaviour: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "TIMEOUT", 0.5)
    receiver.behave, receiver.reads = getattr(receiver, behaviour), False
    receiver.dripped = b"\x16\x03\x03\x40\x00" + b"\x02" * 600  # a long record of TLS
    url = receiver.url.replace("http:", "https:")
    assert attempt(service, sender, url) == (None, "timeout")


def test_neither_url_nor_secret_is_logged(
    service: Service, sender: Sender, caplog: pytest.LogCaptureFixture
) -> None:
    with receiving() as gone:
        url = gone.url
    with caplog.at_level("INFO"):
        attempt(service, sender, url)
    assert any("connection_refused" in line for line in caplog.messages)
    for secret in ("token", "127.0.0.1", WebhookEndpoint.get().secret):
        assert secret not in caplog.text
