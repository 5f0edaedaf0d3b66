"""Thousands of malformed requests to every route. None may be a failure of the service."""

import json
import re
import zlib
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote
from uuid import UUID

import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.strategies import SearchStrategy
from werkzeug.routing import Rule
from werkzeug.test import run_wsgi_app

from tests.support.harness import Figure, scale
from tests.support.odd_requests import Requests, written
from tests.support.odd_values import JSON, ODD_JSON
from tests.support.service import Service
from tests.support.world import Request, World
from whisper_service import ids

REQUESTS = scale(5000, 1000)


def send(app: Flask, request: Request) -> tuple[int, dict[str, str], bytes]:
    blocks, status, headers = run_wsgi_app(app.wsgi_app, request.environ(), buffered=True)
    return int(status.split()[0]), dict(headers), b"".join(blocks)


def check(request: Request, status: int, headers: dict[str, str], body: bytes) -> None:
    assert status < 500
    kind = headers.get("Content-Type", "")
    assert "html" not in kind
    for value in headers.values():
        value.encode("latin-1")
        assert not {"\r", "\n", "\0"} & set(value)
    if status >= 400:
        is_openais = re.match("/+v1/", unquote(request.path))
        assert kind == (JSON if is_openais else "text/plain; charset=utf-8")
        assert body.strip() or request.method == "HEAD"
    elif status == 204:
        assert re.match("/api/v1/uploads?(/|$)", unquote(request.path))
        assert kind == ""
    elif kind == JSON:
        assert status in {200, 201}
        assert isinstance(json.loads(body or "{}"), dict)
    else:
        assert re.match("/api/v1/(files?|user/avatar)/", unquote(request.path))
        assert status in {200, 206, 304}
        assert kind in {"audio/mpeg", "audio/wav", "image/png"}
    assert (body == b"") == (request.method == "HEAD" or status in {204, 304})


def checked(world: World, request: Request) -> int:
    """Send a request, look at the answer, put back what it changed, and return the status."""
    status, headers, body = send(world.app, request)
    try:
        check(request, status, headers, body)
    except AssertionError as error:
        error.add_note(f"{request}\n{status} {headers} {body[:500]!r}")
        raise
    finally:
        if status < 400 and request.method not in {"GET", "HEAD"}:
            world.put_back()
    return status


def accepted(requests: Requests, rule: Rule, method: str) -> tuple[Request, dict[str, str]] | None:
    """Find a JSON request that succeeds; None where the body has to be a form."""
    first = {name: values[0] for name, values in requests.fields.items()}
    word = rule.rule.split("/")[-2].rstrip("s")
    for authorization in requests.world.callers.values():
        for uuid in requests.world.uuids.get(word, [""]):
            for username in requests.fields["username"]:
                members = {**first, "username": username}
                headers = {"Content-Type": JSON, "Authorization": authorization or ""}
                path = re.sub("<.*>", uuid, rule.rule)
                request = Request(method, path, "", headers, written(members))
                if checked(requests.world, request) == 200:
                    return request, members
    return None


def attack(world: World, requests: SearchStrategy[Request], number: int, name: str) -> list[int]:
    """Send so many requests, which the name decides on; return the statuses of the answers."""
    statuses = []

    @seed(zlib.crc32(name.encode()))
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests)
    def survives(request: Request) -> None:
        statuses.append(checked(world, request))

    survives()
    return statuses


def fuzz(service: Service, folder: Path, number: int) -> int:
    """Send about so many requests, as many to each route; return how many they were."""
    world = World(service, folder)
    requests = Requests(world)
    routes = world.routes
    sent, reached = 0, 0
    for rule, method in routes:
        name = f"{method} {rule.rule}"
        statuses = attack(world, requests.of(rule, method), -(-number // len(routes)), name)
        sent += len(statuses)
        reached += any(status < 300 for status in statuses)
        assert any(status >= 400 for status in statuses), name
    # What is sent is not so malformed that nothing behind the first check is reached.
    assert reached >= 0.8 * len(routes)
    world.close()
    assert list((service.storage.root / "tmp").iterdir()) == []
    return sent


def test_nothing_that_is_sent_makes_the_service_fail(
    service: Service, tmp_path: Path, figure: Figure
) -> None:
    sent = fuzz(service, tmp_path, REQUESTS)
    assert sent >= REQUESTS
    figure("malformed requests to every route", "0 answers of 500", f"0 of {sent}")


def test_the_attack_detects_an_unexpected_error(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ids, "parse", lambda text: UUID(text).hex)
    with pytest.raises(AssertionError):
        fuzz(service, tmp_path, 100)


def test_every_field_of_every_body_withstands_every_odd_value(
    service: Service, tmp_path: Path
) -> None:
    """What a route reads is found by giving it something else."""
    world = World(service, tmp_path)
    requests = Requests(world)
    read: set[tuple[str, str]] = set()
    for rule, method in world.routes:
        if method == "GET" or (found := accepted(requests, rule, method)) is None:
            continue
        request, members = found
        for name in members:
            if checked(world, replace(request, body=written({**members, name: "[[1]]"}))) == 200:
                continue
            read.add((rule.endpoint, name))
            for odd in ODD_JSON:
                checked(world, replace(request, body=written({**members, name: odd})))
    world.close()
    assert {name for _, name in read} == set(members)
    assert len(read) >= 15
