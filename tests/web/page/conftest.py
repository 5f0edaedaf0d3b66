"""A real browser, and what must never happen in it."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.support.live import Client, LiveServer
from tests.support.service import PASSWORD

WIDE = {"width": 1280, "height": 900}
# What Chromium itself writes for an answer of the API that is an error.
FAILED_REQUEST = "Failed to load resource"


@dataclass
class Visitor:
    """A window of the browser. What it complains about, and whom else it asks, is noted."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    expects_errors: bool = False

    def watch(self) -> None:
        self.page.on("console", lambda message: self._note(message.text))
        self.page.on("pageerror", lambda error: self._note(str(error)))
        self.page.on("request", lambda request: self._check(request.url))

    def sign_in(self, username: str, address: str = "#/") -> Page:
        self.page.goto(f"{self.url}/#/signin")
        self.page.get_by_label("Username").fill(username)
        self.page.get_by_label("Password").fill(PASSWORD)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("button", name="Sign out").wait_for()
        self.page.goto(f"{self.url}/{address}")
        return self.page

    def _note(self, text: str) -> None:
        if not (self.expects_errors and text.startswith(FAILED_REQUEST)):
            self.complaints.append(text)

    def _check(self, url: str) -> None:
        if not url.startswith((self.url, "blob:", "data:")):
            self.complaints.append(f"a request to {url}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no browser for the tests of the page: apt install chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_window(browser: Browser, live_server: LiveServer) -> Iterator[Callable[..., Visitor]]:
    contexts: list[BrowserContext] = []
    visitors: list[Visitor] = []

    def open_window(**options: object) -> Visitor:
        context = browser.new_context(**{"viewport": WIDE, "locale": "en-US", **options})
        context.set_default_timeout(30_000)
        contexts.append(context)
        visitors.append(Visitor(context.new_page(), live_server.url))
        visitors[-1].watch()
        return visitors[-1]

    yield open_window
    for context in contexts:
        context.close()
    assert [visitor.complaints for visitor in visitors] == [[]] * len(visitors)


@pytest.fixture
def visitor(open_window: Callable[..., Visitor]) -> Visitor:
    return open_window()


def make_admin(server: LiveServer, username: str) -> None:
    with closing(sqlite3.connect(server.storage / "service.db", timeout=30)) as connection:
        connection.execute("UPDATE user SET is_admin = 1 WHERE username = ?", (username,))
        connection.commit()


def transcribed(client: Client, path: "object", **fields: object) -> str:
    """Upload and transcribe a recording with the times of its words; return the uuid."""
    (uuid,) = client.transcribe(client.upload(path), word_timestamps=True, **fields)  # type: ignore[arg-type]
    assert client.wait(uuid)["status"] == "completed"
    return uuid
