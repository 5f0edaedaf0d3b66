from dataclasses import replace

import pytest

from tests.support.service import Service
from whisper_service import web, webhooks

BLUEPRINTS = (*web.BLUEPRINTS, *webhooks.BLUEPRINTS)
MESSAGE = "Missing valid Authorization header with session or API key"


def test_a_key_and_a_session_authenticate_alike(service: Service) -> None:
    ann = service.register()
    assert service.with_key(ann).get("/user") == ann.get("/user")


@pytest.mark.parametrize("change", [str.lower, str.upper])
def test_case_and_hyphens_do_not_matter(service: Service, change: type[str.lower]) -> None:
    ann = service.register()
    scheme, secret = ann.authorization.split()
    parts = [secret[:8], secret[8:12], secret[12:16], secret[16:20], secret[20:]]
    ann.get("/user", headers={"Authorization": f"{change(scheme)} {change('-'.join(parts))}"})


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Bearer ",
        "Basic \xff\xff",
        "Basic YW5uOnB3",
        "Digest 018c5f9a7b2e7a8c9d0e1f2a3b4c5d6e",
        "Bearer 018c5f9a7b2e7a8c9d0e1f2a3b4c5d6e",
        "Basic 018c5f9a7b2e7a8c9d0e1f2a3b4c5d6e",
        "018c5f9a7b2e7a8c9d0e1f2a3b4c5d6e",
    ],
)
def test_other_authorization_headers_are_refused(service: Service, header: str) -> None:
    assert service.anyone.error("GET", "/user", 401, headers={"Authorization": header}) == MESSAGE


def test_a_session_is_no_key_and_a_key_no_session(service: Service) -> None:
    ann = service.register()
    key = service.with_key(ann)
    swapped = ann.authorization.replace("Basic", "Bearer")
    assert ann.error("GET", "/user", 401, headers={"Authorization": swapped}) == MESSAGE
    swapped = key.authorization.replace("Bearer", "Basic")
    assert ann.error("GET", "/user", 401, headers={"Authorization": swapped}) == MESSAGE


def test_every_route_has_a_policy(service: Service) -> None:
    policies = {blueprint.name: policy.__name__ for blueprint, _, policy in BLUEPRINTS}
    rules = list(service.client.application.url_map.iter_rules())
    assert rules
    for rule in rules:
        assert rule.endpoint.split(".")[0] in policies, rule
    public = {
        (method, rule.rule)
        for rule in rules
        for method in rule.methods - {"OPTIONS"}
        if policies[rule.endpoint.split(".")[0]] == "anyone"
        and not rule.endpoint.startswith("page.")  # files for browsers
    }
    assert public == {
        ("GET", "/api/v1/health"),
        ("HEAD", "/api/v1/health"),
        ("POST", "/api/v1/user/register"),
        ("POST", "/api/v1/user/login"),
        ("GET", "/api/v1/user/avatar/<uuid>"),
        ("HEAD", "/api/v1/user/avatar/<uuid>"),
        ("GET", "/api/v1/file/<uuid>"),
        ("HEAD", "/api/v1/file/<uuid>"),
        ("GET", "/api/v1/files/<uuid>"),
        ("HEAD", "/api/v1/files/<uuid>"),
        ("GET", "/api/v1/transcribe/<uuid>"),
        ("HEAD", "/api/v1/transcribe/<uuid>"),
        ("GET", "/api/v1/transcribe/<uuid>/events"),
        ("HEAD", "/api/v1/transcribe/<uuid>/events"),
        ("GET", "/metrics"),
        ("HEAD", "/metrics"),
        ("GET", "/openapi.json"),
        ("HEAD", "/openapi.json"),
        ("GET", "/docs"),
        ("HEAD", "/docs"),
        ("GET", "/docs/"),
        ("HEAD", "/docs/"),
        ("GET", "/docs/<path:path>"),
        ("HEAD", "/docs/<path:path>"),
    }


def test_every_private_route_turns_strangers_away(service: Service) -> None:
    policies = {blueprint.name: policy.__name__ for blueprint, _, policy in BLUEPRINTS}
    for rule in service.client.application.url_map.iter_rules():
        if policies[rule.endpoint.split(".")[0]] != "anyone":
            path = rule.rule.replace("<uuid>", "0" * 32).replace("<name>", "ggml-tiny.en")
            anyone = replace(service.anyone, prefix="")
            for method in rule.methods - {"OPTIONS", "HEAD"}:
                assert MESSAGE in anyone.call(method, path, 401).text
