"""The routes of a user's endpoints."""

from dataclasses import replace

from tests.support import webhooks
from tests.support.receiver import Receiver
from tests.support.service import PASSWORD, Service
from tests.support.webhooks import add_messages, create, send_all, send_test, show
from whisper_service import config
from whisper_service.db import database
from whisper_service.tables import WebhookAttempt, WebhookEndpoint, WebhookMessage
from whisper_service.webhooks.sender import Sender

URL = "https://example.org/hook?token=secret"
INVALID = "url must have a valid host and a port from 1 to 65535"
NOT_FOUND = "Webhook not found or access denied"
PRIVATE = "url must not lead to a private or reserved address"


def test_a_url_is_accepted_as_it_is(service: Service) -> None:
    accepted = [
        *("http://example.org", "https://example.org:8443/a/b?c=d&e=%20", "HTTPS://EXAMPLE.ORG/"),
        *("http://8.8.8.8/", "http://[2606:4700::1111]:1/", "http://xn--bcher-kva.example./x"),
        *("http://a_b.example:65535/", f"http://example.org/{'x' * 2029}", "http://example.org:/"),
    ]
    ann = service.register()
    for url in accepted:
        assert create(ann, url)["url"] == url
    assert [hook["url"] for hook in ann.get("/webhook")["webhooks"]] == accepted[::-1]


REFUSED = {
    f"http://example.org/{'x' * 2030}": "url must have at most 2048 characters",
    "http://bücher.example/": "url must be percent-encoded: ASCII without spaces",
    "http://example.org/a b": "url must be percent-encoded: ASCII without spaces",
    "http://example.org/\r\nx: y": "url must be percent-encoded: ASCII without spaces",
    "ftp://example.org/": "url must begin with http:// or https://",
    "example.org": "url must begin with http:// or https://",
    "http://ann:pass@example.org/": "url must not contain credentials",
    "http://@example.org/": "url must not contain credentials",
    "http://example.org/#top": "url must not contain a fragment",
    "http://example.org/#": "url must not contain a fragment",
    **dict.fromkeys(
        ("http://", "http:///x", "http://:80/", "http://a:0/", "http://[::1/"), INVALID
    ),
    **dict.fromkeys(
        ("http://a:65536/", "http://a:x/", "http:x", "http://a..b/", "http://./"), INVALID
    ),
    **dict.fromkeys(
        (f"http://{'a' * 64}/", "http://a%41/", "http://a\\b/", "http://a,b/"), INVALID
    ),
    **dict.fromkeys(("http://[fe80::1%25lo]/", "http://[127.0.0.1]/"), INVALID),
}


def test_a_url_that_is_not_allowed_gets_a_clear_error(service: Service) -> None:
    ann = service.register()
    found = {url: ann.error("POST", "/webhook", 400, {"url": url}) for url in REFUSED}
    assert found == REFUSED
    assert not WebhookEndpoint.select().exists()


def test_private_addresses_are_refused_unless_they_are_allowed(service: Service) -> None:
    ann = service.register()
    hosts = ["127.0.0.1", "0x7f.1", "2130706433", "[::1]", "[::ffff:7f00:1]"]
    for host in hosts:
        create(ann, f"http://{host}/allowed")
    services = service.client.application.extensions["services"]
    services.config = replace(service.settings, webhooks=config.WebhooksSettings(enabled=True))
    for host in hosts:
        assert ann.error("POST", "/webhook", 400, {"url": f"http://{host}/"}) == PRIVATE


def test_other_bad_bodies(service: Service) -> None:
    ann = service.register()
    assert ann.error("POST", "/webhook", 400, {}) == "Missing url"
    assert ann.error("POST", "/webhook", 400, {"url": ["x"]}) == "url must be a string"
    uuid = create(ann, URL)["uuid"]
    assert ann.error("PATCH", f"/webhook/{uuid}", 400, {}) == "Missing enabled"
    text = ann.error("PATCH", f"/webhook/{uuid}", 400, {"enabled": "no"})
    assert text == "enabled must be true or false"


def test_the_same_url_twice_is_refused_and_so_is_the_eleventh(service: Service) -> None:
    ann = service.register()
    for number in range(10):
        create(ann, f"{URL}{number}")
    text = ann.error("POST", "/webhook", 409, {"url": f"{URL}3"})
    assert text == "A webhook with this URL exists already"
    assert ann.error("POST", "/webhook", 400, {"url": URL}) == "At most 10 webhooks are allowed"
    create(service.register("bob"), f"{URL}3")


def test_the_list_is_paged_newest_first(service: Service) -> None:
    ann = service.register()
    uuids = [create(ann, f"{URL}{number}")["uuid"] for number in range(3)]
    page = ann.get("/webhooks?limit=2")
    assert [item["uuid"] for item in page["webhooks"]] == uuids[:0:-1]
    assert page["pagination"] == {"page": 1, "limit": 2, "total_count": 3, "total_pages": 2}


def test_the_secret_is_shown_only_when_it_is_made(service: Service) -> None:
    ann = service.register()
    hook = create(ann, URL)
    rotated = ann.post(f"/webhook/{hook['uuid']}/rotate")
    assert hook["secret"] != rotated["secret"]
    test = ann.call("POST", f"/webhook/{hook['uuid']}/test").text
    change = {"enabled": False}
    patched = ann.call("PATCH", f"/webhook/{hook['uuid']}", json=change).text
    shown = [ann.call("GET", path).text for path in ("/webhook", f"/webhook/{hook['uuid']}")]
    deleted = ann.call("DELETE", f"/webhook/{hook['uuid']}").text
    assert "whsec_" not in "".join([*shown, test, patched, deleted])


def test_another_users_webhook_is_not_found(service: Service) -> None:
    ann, bob = service.register(), service.register("bob")
    path = f"/webhook/{create(ann, URL)['uuid']}"
    for method, route, body in (
        ("GET", path, None),
        ("PATCH", path, {"enabled": False}),
        ("POST", f"{path}/test", None),
        ("POST", f"{path}/rotate", None),
        ("DELETE", path, None),
    ):
        assert bob.error(method, route, 404, body) == NOT_FOUND
    assert bob.get("/webhook")["webhooks"] == []
    assert show(ann, {"uuid": path.rpartition("/")[2].upper()})["enabled"]


def test_both_secrets_sign_for_a_day(
    service: Service, sender: Sender, receiver: Receiver, clock: webhooks.Clock
) -> None:
    ann = service.register()
    hook = create(ann, receiver.url)
    new = ann.post(f"/webhook/{hook['uuid']}/rotate")["secret"]
    send_test(ann, hook)
    send_all(sender)
    for secret in (hook["secret"], new):
        assert receiver.received[0].verify(secret)["type"] == "webhook.test"
    clock.ahead = webhooks.DAY
    send_test(ann, hook)
    send_all(sender)
    assert " " not in receiver.received[1].headers["webhook-signature"]
    first, second = (int(sent.headers["webhook-timestamp"]) for sent in receiver.received)
    assert second >= first + webhooks.DAY


def test_one_test_waits_at_most(service: Service, sender: Sender, receiver: Receiver) -> None:
    ann = service.register()
    hook = create(ann, receiver.url)
    uuid = send_test(ann, hook)
    path = f"/webhook/{hook['uuid']}/test"
    assert ann.error("POST", path, 409) == "A test message is waiting already"
    assert send_all(sender) == 1
    (received,) = receiver.received
    assert received.id == uuid
    assert received.content["data"] == {}
    (attempt,) = show(ann, hook)["attempts"]
    assert attempt == {
        "attempted_at": attempt["attempted_at"],
        "message_uuid": uuid,
        "type": "webhook.test",
        "transcription_uuid": None,
        "attempt": 1,
        "http_status": 204,
        "error": None,
        "next_attempt_at": "1970-01-01 00:00:00",
    }
    send_test(ann, hook)


def test_a_disabled_webhook_gets_nothing_until_it_is_enabled(
    service: Service, sender: Sender, receiver: Receiver, clock: webhooks.Clock
) -> None:
    ann = service.register()
    hook = create(ann, receiver.url)
    add_messages(hook, 2, due_at=int(clock() + webhooks.DAY))
    path = f"/webhook/{hook['uuid']}"
    ann.call("PATCH", path, json={"enabled": False})
    ann.call("PATCH", path, json={"enabled": False})
    shown = show(ann, hook)
    assert (shown["enabled"], shown["disabled_reason"], shown["waiting"]) == (False, "owner", 2)
    assert ann.error("POST", f"{path}/test", 409) == "The webhook is disabled"
    clock.ahead = 2 * webhooks.DAY
    assert send_all(sender) == 0
    clock.ahead = 0
    ann.call("PATCH", path, json={"enabled": True})
    assert send_all(sender) == 2
    assert show(ann, hook)["waiting"] == 0


def test_a_deleted_webhook_leaves_nothing(
    service: Service, sender: Sender, receiver: Receiver
) -> None:
    ann = service.register()
    for path, body in (("/webhook/{}", None), ("/user", {"password": PASSWORD})):
        hook = create(ann, receiver.url)
        send_test(ann, hook)
        send_all(sender)
        add_messages(hook, 3)
        ann.call("DELETE", path.format(hook["uuid"]), json=body)
        for table in (WebhookEndpoint, WebhookMessage, WebhookAttempt):
            assert not table.select().exists()
    assert database.execute_sql("PRAGMA foreign_key_check").fetchall() == []
    assert send_all(sender) == 0
