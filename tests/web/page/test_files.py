"""The files of the page, as they are served."""

import re
from dataclasses import replace
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.support.service import Service
from whisper_service.web.page import FILES

MAX_BYTES = 80_000


def get(service: Service, path: str, expect: int = 200, **arguments: Any) -> TestResponse:
    return replace(service.anyone, prefix="").call("GET", path, expect, **arguments)


@pytest.fixture
def names() -> list[str]:
    return [path.name for path in FILES.iterdir()]


def test_the_page_is_small(names: list[str]) -> None:
    assert sum((FILES / name).stat().st_size for name in names) < MAX_BYTES


def test_the_policy_allows_only_one_s_own(service: Service) -> None:
    response = get(service, "/")
    assert response.content_type == "text/html; charset=utf-8"
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"<script>|style=|\son\w+=", response.text)


def test_each_file_has_its_type_and_is_asked_for_again(service: Service, names: list[str]) -> None:
    for name in names:
        response = get(service, f"/page/{name}", 404 if name == "index.html" else 200)
        if name == "index.html":
            continue
        assert response.headers["Cache-Control"] == "no-cache"
        known = {"If-None-Match": response.headers["ETag"]}
        get(service, f"/page/{name}", 304, headers=known)


@pytest.mark.parametrize(
    "path", ["/page/none.js", "/page/../__init__.py", "/page/%2e%2e/__init__.py", "/page/", "/page"]
)
def test_nothing_else_is_served(service: Service, path: str) -> None:
    response = get(service, path, 404)
    assert response.content_type == "text/plain; charset=utf-8"


def test_scripts_build_no_markup_from_text(names: list[str]) -> None:
    scripts = [name for name in names if name.endswith(".js")]
    assert scripts
    for name in scripts:
        source = (FILES / name).read_text()
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", source
        )
