"""The page with the API description needs nothing from elsewhere and runs no foreign script."""

import base64
import hashlib
import re
from urllib.parse import urljoin

from tests.support.service import Service

KINDS = {
    "css": "text/css",
    "js": "text/javascript",
    "json": "application/json",
    "png": "image/png",
}


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
