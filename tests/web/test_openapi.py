"""The document tells the truth, and the page that shows it needs nothing from elsewhere."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import jsonschema_rs
import pytest
import schemathesis
from flask import Response, abort
from schemathesis.core.errors import SchemathesisError

from tests.support.conformance import IN_WORDS, JSON, close, conform, operations, walk
from tests.support.engine import FakeEngine
from tests.support.paths import DATA
from tests.support.service import Service
from tests.support.world import World
from whisper_service.errors import ServiceError
from whisper_service.tables import User
from whisper_service.web import auth, params, serializers

KINDS = {
    "css": "text/css",
    "js": "text/javascript",
    "json": "application/json",
    "png": "image/png",
}


@pytest.fixture
def document(service: Service) -> JSON:
    return json.loads(service.client.get("/openapi.json").text)


@pytest.fixture
def world(service: Service, tmp_path: Path) -> Any:
    world = World(service, tmp_path)
    yield world
    world.close()


def test_the_description_is_valid_openapi(document: JSON) -> None:
    check_form(document)


def check_form(document: JSON) -> None:
    assert document["openapi"].startswith("3.1.")
    schemathesis.openapi.from_dict(document).validate()
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    for found in walk(document):
        if "$ref" in found:
            name = found["$ref"].removeprefix("#/components/schemas/")
            assert name in document["components"]["schemas"]
    names = [operation["operationId"] for operation in operations(document)]
    assert len(names) == len(set(names))
    tags = {tag["name"] for tag in document["tags"]}
    assert {tag for operation in operations(document) for tag in operation["tags"]} == tags


@pytest.mark.torture
@pytest.mark.parametrize("name", ["getUser", "Uuid"])
def test_the_test_detects_an_invalid_document(document: JSON, name: str) -> None:
    broken = json.loads(json.dumps(document).replace(f'"{name}"', '"listFiles"'))
    with pytest.raises((AssertionError, SchemathesisError)):
        check_form(broken)


def test_the_examples_match_their_schemas(document: JSON) -> None:
    checked = 0
    for found in walk(document["paths"]):
        if "schema" in found and "example" in found:
            schema = {**found["schema"], "components": document["components"]}
            jsonschema_rs.validate(schema, found["example"])
            checked += 1
    assert checked >= 20


def routes_of(document: JSON) -> set[str]:
    return {
        f"{method.upper()} {re.sub('{.*?}', '{}', path)}"
        for path, item in document["paths"].items()
        for method in item
    }


def routes_of_app(service: Service) -> set[str]:
    return {
        f"{method} {re.sub('<.*?>', '{}', rule.rule)}"
        for rule in service.client.application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def test_the_description_has_every_route(document: JSON, service: Service) -> None:
    assert routes_of(document) == routes_of_app(service)


def test_only_plurals_are_deprecated(document: JSON) -> None:
    old = {
        path.partition("/{")[0]
        for path, item in document["paths"].items()
        if any(operation.get("deprecated") for operation in item.values())
    }
    assert old == {
        "/api/v1/files",
        "/api/v1/models",
        "/api/v1/user/sessions",
        "/api/v1/user/tokens",
    }


def test_the_description_shows_the_configured_limits(document: JSON, service: Service) -> None:
    password = document["components"]["schemas"]["NewPassword"]
    assert password["minLength"] == service.settings.auth.password_min_length


def test_a_transcription_matches_the_description_in_every_status(
    service: Service, document: JSON
) -> None:
    ann = service.register()
    (file,) = ann.upload(DATA / "austen-0880.wav")
    order = {"uuid": file["uuid"], "model": "ggml-tiny.en", "word_timestamps": True}
    uuid = ann.post("/transcribe", order)["transcriptions"][0]["uuid"]
    seen: list[JSON] = []
    look = lambda: seen.append(service.anyone.get(f"/transcribe/{uuid}"))  # noqa: E731
    look()
    service.convert_once()
    service.transcribe(FakeEngine(look))
    look()
    uuid = ann.post("/transcribe", {**order, "language": "en"})["transcriptions"][0]["uuid"]
    ann.call("DELETE", f"/file/{file['uuid']}")
    look()
    statuses = [answer["status"] for answer in seen]
    assert statuses == ["pending", "processing", "completed", "failed"]
    close(document)
    reference = {"$ref": "#/components/schemas/Transcription", "components": document["components"]}
    for answer in seen:
        jsonschema_rs.validate(reference, answer)
        for name in answer:
            less = {key: value for key, value in answer.items() if key != name}
            assert not jsonschema_rs.is_valid(reference, less), name
            assert not jsonschema_rs.is_valid(reference, {**answer, "more": 1})


@pytest.mark.parametrize("requests", [3, pytest.param(60, marks=pytest.mark.torture)])
def test_all_answers_match_the_description(world: World, requests: int) -> None:
    """Valid and invalid requests are sent to each operation."""
    statuses = conform(world, requests)
    # What is sent comes far. Only where more is wanted than a schema can say may all be refused.
    refused = {name for (name, valid), seen in statuses.items() if valid and min(seen) >= 400}
    assert {name.removesuffix("AtPlural") for name in refused} < IN_WORDS.keys()
    assert len(refused) <= len(IN_WORDS) / 2
    assert all(max(seen) >= 400 for (_, valid), seen in statuses.items() if not valid)


def refuse(status: int) -> Any:
    raise ServiceError("no", status)


# What is broken, where it shows, and what to put there instead.
FAULTS: dict[str, tuple[str, object, str, Callable[..., Any]]] = {
    "a field too many": ("listFiles", serializers, "file", lambda row: {**FILE(row), "x": 1}),
    "a field too few": ("listFiles", serializers, "pagination", lambda page: {"page": 1}),
    "a time of another form": ("getUser", serializers, "timestamp", str),
    "an unknown status": ("listModels", params, "flag", lambda _: refuse(418)),
    "a failure": ("listModels", params, "flag", lambda _: 1 / 0),
    "nonsense is taken": ("listFiles", params, "page", lambda: (1, 10)),
    "sense is refused": ("listFiles", params, "page", lambda: refuse(400)),
    "nobody is let in": ("getUser", auth, "authenticate", lambda *_: (User.get(), None)),
    "another content type": ("listModels", params, "flag", lambda _: abort(Response("no", 400))),
}
FILE = serializers.file


@pytest.mark.torture
def test_the_test_detects_answers_that_break_the_description(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fault, (name, module, attribute, broken) in FAULTS.items():
        with monkeypatch.context() as patch:
            patch.setattr(module, attribute, broken)
            with pytest.raises(AssertionError):
                conform(world, 20, name)
                pytest.fail(fault)


def test_the_page_loads_from_here_alone(service: Service) -> None:
    moved = service.client.get("/docs")
    assert (moved.status_code, moved.headers["Location"]) == (308, "/docs/")
    page = service.client.get("/docs/")
    assert page.content_type == "text/html; charset=utf-8"
    assert not re.search(r"[\"'(=]\s*(https?:)?//", page.text)
    links = re.findall(r'(?:src|href|"url")[=:] ?"(.*?)"', page.text)
    assert len(links) >= 7
    for link in links:
        answer = service.client.get(urljoin("/docs/", link), buffered=True)
        assert answer.status_code == 200, link
        assert answer.mimetype == KINDS[link.rpartition(".")[2]], link
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_page_runs_no_script_but_its_own(service: Service) -> None:
    page = service.client.get("/docs/")
    policy = dict(
        part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; ")
    )
    inline = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digests = [hashlib.sha256(script.encode()).digest() for script in inline]
    hashes = [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]
    assert policy["script-src"].split() == ["'self'", *hashes]
    assert len(inline) == 1
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert "unsafe" not in page.headers["Content-Security-Policy"]
    assert not re.search("https?:|\\*", page.headers["Content-Security-Policy"])


def test_the_page_is_the_same_for_any_host(service: Service) -> None:
    page = service.client.get("/docs/", headers={"Host": 'x"};alert(1)//'})
    assert page.text == service.client.get("/docs/").text
    assert service.anyone.prefix not in page.text
    for path in ("/docs/nothing.js", "/docs/../schema.sql", "/docs/%2e%2e/__init__.py"):
        answer = service.client.get(path)
        assert (answer.status_code, answer.mimetype) == (404, "text/plain")
