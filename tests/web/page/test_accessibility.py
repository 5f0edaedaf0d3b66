"""Every view, by axe-core: in light and dark, on a phone and on a desk."""

import re
from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.support.live import Client, LiveServer
from tests.support.paths import DATA
from tests.web.page.conftest import Visitor, make_admin, transcribed

PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def uuid(live_server: LiveServer) -> str:
    client = Client(live_server, "looked-at")
    make_admin(live_server, "looked-at")
    return transcribed(client, DATA / "austen-0880.wav")


def views(page: Page, uuid: str) -> Iterator[str]:
    """Open one view after the other, and dialogs."""
    for name, address, heading in (
        ("recordings", "#/", "Recordings"),
        ("search", "#/search?q=the", "Search"),
        ("account", "#/account", "Account"),
        ("administration", "#/admin", "Administration"),
    ):
        page.goto(page.url.split("#")[0] + address)
        page.get_by_role("heading", level=1, name=heading).wait_for()
        page.wait_for_load_state("networkidle")
        yield name
    page.goto(page.url.split("#")[0] + "#/")
    page.get_by_role("button", name="Transcribe").first.click()
    page.get_by_role("button", name="Start").wait_for()
    yield "transcribe"
    page.goto(page.url.split("#")[0] + f"#/t/{uuid}")
    page.locator(".segments p").first.wait_for()
    yield "transcript"
    page.get_by_role("button", name="Edit").click()
    page.get_by_label(re.compile("^Text at")).wait_for()
    yield "editing"
    page.get_by_role("button", name="Export").click()
    page.get_by_role("dialog").wait_for()
    yield "dialog"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_nothing_is_in_anybody_s_way(
    open_window: Callable[..., Visitor], uuid: str, scheme: str, viewport: dict[str, int]
) -> None:
    visitor = open_window(color_scheme=scheme, viewport=viewport, reduced_motion="reduce")
    page = visitor.page
    page.goto(visitor.url)
    page.get_by_role("heading", name="Sign in").wait_for()
    found = {"sign in": Axe().run(page)}
    visitor.sign_in("looked-at")
    for name in views(page, uuid):
        found[name] = Axe().run(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], name
    problems = {
        name: [(each["id"], [node["html"] for node in each["nodes"]]) for each in violations]
        for name, result in found.items()
        if (violations := result.response["violations"])
    }
    assert problems == {}
    assert all(result.response["passes"] for result in found.values())
