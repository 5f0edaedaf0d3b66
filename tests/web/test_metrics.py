"""Figures for Prometheus, and which pages elsewhere may call the service."""

from dataclasses import replace

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.support.live import LiveServer
from tests.support.paths import DATA
from tests.support.service import Api, Service

ORIGIN = "https://example.org"


def scrape(service: Service) -> dict[tuple[str, ...], float]:
    text = service.client.get("/metrics").text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_was_done_is_counted(service: Service) -> None:
    before = scrape(service)
    ann = service.register()
    (file,) = ann.upload(DATA / "austen-0880.wav")
    order = {"uuid": file["uuid"], "model": "ggml-tiny.en"}
    ann.post("/transcribe", order)
    assert scrape(service)[("whisper_transcriptions_pending",)] == 1
    service.work()
    after = scrape(service)
    assert after[("whisper_transcriptions_pending",)] == 0
    assert after[("whisper_tokens_charged",)] == 3
    assert after[("whisper_disk_free_bytes",)] > 0
    for name in (
        ("whisper_requests_total", "POST", "/api/v1/transcribe", "200"),
        ("whisper_stage_seconds_count", "extract"),
        ("whisper_stage_seconds_count", "encode"),
        ("whisper_stage_seconds_count", "transcribe"),
        ("whisper_real_time_factor_count", "ggml-tiny.en"),
    ):
        assert after[name] == before.get(name, 0) + 1, name
    assert not any(file["uuid"] in label for sample in after for label in sample)


@pytest.mark.parametrize("address", ["10.0.0.7", "2001:db8::7", "", "nonsense"])
def test_strangers_see_no_metrics_unless_they_are_public(service: Service, address: str) -> None:
    environ = {"REMOTE_ADDR": address}
    assert service.client.get("/metrics", environ_overrides=environ).status_code == 404
    server = replace(service.settings.server, public_metrics=True)
    config = replace(service.settings, server=server)
    service.client.application.extensions["services"].config = config
    assert service.client.get("/metrics", environ_overrides=environ).status_code == 200


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1"])
def test_local_clients_see_metrics(service: Service, address: str) -> None:
    environ = {"REMOTE_ADDR": address}
    assert service.client.get("/metrics", environ_overrides=environ).status_code == 200


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "127.8.8.8:80", "[::1]:8080"])
def test_metrics_are_served_under_every_local_host_name(service: Service, host: str) -> None:
    assert service.client.get("/metrics", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Host", "evil.example"),
        ("Host", "localhost.evil.example:8080"),
        ("Host", "192.168.0.7:8080"),
        ("Host", "[::1"),
        ("Host", ""),
        ("X-Forwarded-For", "127.0.0.1"),
        ("X-Forwarded-Host", "localhost"),
        ("X-Forwarded-Prefix", "/"),
        ("Forwarded", "for=127.0.0.1"),
        ("X-Real-IP", "127.0.0.1"),
    ],
)
def test_metrics_are_hidden_behind_a_proxy_or_a_foreign_host_name(
    live_server: LiveServer, header: str, value: str
) -> None:
    """Whom a proxy on this machine speaks for, or a page with a name that stands for it."""
    url = f"{live_server.url}/metrics"
    assert requests.get(url, timeout=10).status_code == 200
    answer = requests.get(url, headers={header: value}, timeout=10)
    assert (answer.status_code, answer.text) == (404, "Not Found")


@pytest.fixture
def page(service: Service) -> Api:
    server = replace(service.settings.server, cors_origins=(ORIGIN,))
    config = replace(service.settings, server=server)
    service.client.application.extensions["services"].config = config
    return service.anyone


def preflight(api: Api, origin: str, expect: int) -> dict[str, str]:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    return dict(api.call("OPTIONS", "/file", expect, headers=headers).headers)


def test_a_listed_origin_is_allowed(page: Api) -> None:
    headers = preflight(page, ORIGIN, 204)
    assert headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Authorization" in headers["Access-Control-Allow-Headers"]
    assert "PATCH" in headers["Access-Control-Allow-Methods"]
    answer = page.call("GET", "/health", headers={"Origin": ORIGIN}).headers
    assert answer["Access-Control-Allow-Origin"] == ORIGIN
    assert "Access-Control-Allow-Credentials" not in answer
    assert answer["Vary"] == "Origin"
    refused = page.call("GET", "/user", 401, headers={"Origin": ORIGIN}).headers
    assert refused["Access-Control-Allow-Origin"] == ORIGIN, "the page has to see the error"


def test_other_origins_are_not_allowed(page: Api, service: Service) -> None:
    for origin in ("https://example.com", "null", f"{ORIGIN}.evil.test", ORIGIN.upper()):
        assert "Access-Control-Allow-Origin" not in preflight(page, origin, 405)
        answer = page.call("GET", "/health", headers={"Origin": origin}).headers
        assert "Access-Control-Allow-Origin" not in answer
        assert answer["Vary"] == "Origin"


def test_no_origin_is_allowed_by_default(service: Service) -> None:
    assert "Access-Control-Allow-Origin" not in preflight(service.anyone, ORIGIN, 405)
