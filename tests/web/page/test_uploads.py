"""Uploads in the page: over a line that breaks, and canceled."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.support.database import rows
from tests.support.live import Client, LiveServer
from tests.support.uploads import MIB, Recording
from tests.web.page.conftest import Visitor

SLICE = 8 * MIB
LOST = "The connection was lost, or the file cannot be read. Trying again."
UPLOAD = "**/api/v1/upload/*"


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("noise") / "noise – Grüße.wav"
    with path.open("wb") as file:
        file.writelines(Recording(20 * MIB))
    return path


@pytest.fixture
def page(visitor: Visitor, live_server: LiveServer, request: pytest.FixtureRequest) -> Page:
    visitor.expects_errors = True
    name = str(abs(hash(request.node.name)))[:16]
    Client(live_server, name)
    page = visitor.sign_in(name)
    page.locator(".drop").wait_for()
    return page


@pytest.fixture
def offsets(page: Page) -> Iterator[list[int]]:
    """Note at which offsets the page sends."""
    found: list[int] = []

    def note(request: Request) -> None:
        if request.method == "PATCH":
            found.append(int(request.headers["upload-offset"]))

    page.on("request", note)
    return found


def choose(page: Page, path: Path) -> None:
    page.locator("input[type=file]").first.set_input_files(path)


def test_an_upload_goes_on_when_the_network_is_back(
    page: Page, offsets: list[int], noise: Path
) -> None:
    def second(request: Request) -> bool:
        return request.method == "PATCH" and request.headers["upload-offset"] == str(SLICE)

    with page.expect_request(second):
        choose(page, noise)
    page.context.set_offline(True)
    expect(page.get_by_text(LOST)).to_be_visible()
    page.context.set_offline(False)
    arrived = page.get_by_role("article").filter(has_text=noise.name)
    expect(arrived).to_be_visible(timeout=30_000)
    expect(page.get_by_text(LOST)).to_have_count(0)
    assert offsets.count(0) == 1
    assert max(offsets) >= 2 * SLICE


def test_a_broken_request_is_made_again(page: Page, offsets: list[int], noise: Path) -> None:
    failures = ["POST", "GET", "PATCH"]

    def fail_once(route: Route) -> None:
        if route.request.method in failures:
            failures.remove(route.request.method)
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/api/v1/upload", fail_once)
    page.route(UPLOAD, fail_once)
    choose(page, noise)
    arrived = page.get_by_role("article").filter(has_text=noise.name)
    expect(arrived).to_be_visible(timeout=30_000)
    assert failures == []
    assert offsets == [0, 0, SLICE, 2 * SLICE]


def test_a_canceled_upload_is_deleted(page: Page, live_server: LiveServer, noise: Path) -> None:
    query = "SELECT count(*) FROM upload WHERE file_uuid IS NULL"

    def hang(route: Route) -> None:
        if route.request.method != "PATCH":
            route.continue_()

    page.route(UPLOAD, hang)
    with page.expect_request(lambda request: request.method == "PATCH"):
        choose(page, noise)
    assert rows(live_server.storage, query) == [(1,)]
    with page.expect_response(lambda response: response.request.method == "DELETE"):
        page.get_by_role("button", name="Cancel").click()
    assert rows(live_server.storage, query) == [(0,)]
    expect(page.get_by_role("progressbar")).to_have_count(0)
