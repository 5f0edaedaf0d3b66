"""What a person does, from the first visit to the subtitles."""

import base64
import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.support.live import Client, LiveServer
from tests.support.paths import DATA
from tests.support.service import PASSWORD
from tests.web.page.conftest import Visitor, make_admin, transcribed

NAMES = ("jfk.wav", "austen-0880.wav", "austen-0890.wav")
DROP = """files => {
    const transfer = new DataTransfer();
    for (const [name, data] of files) {
        const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
        transfer.items.add(new File([bytes], name));
    }
    const zone = document.querySelector(".drop");
    zone.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
}"""
# Where a word of the transcript is on the screen.
PLACE = """([index, word]) => {
    const node = document.querySelectorAll(".segments p")[index].firstChild;
    const range = new Range();
    const at = node.data.indexOf(word);
    range.setStart(node, at);
    range.setEnd(node, at + word.length);
    const { x, y, width, height } = range.getBoundingClientRect();
    return [x + width / 2, y + height / 2];
}"""
TIME = "document.querySelector('audio').currentTime"


def drop(page: Page, *paths: Path) -> None:
    files = [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in paths]
    page.locator(".drop").wait_for()
    page.evaluate(DROP, files)


def click_word(page: Page, word: str) -> int:
    """Click a word of the transcript; return the number of its segment."""
    texts = page.locator(".segments p").all_text_contents()
    index = next(number for number, text in enumerate(texts) if word in text)
    page.locator(".segments p").nth(index).scroll_into_view_if_needed()
    page.mouse.click(*page.evaluate(PLACE, [index, word]))
    return index


def editor(page: Page) -> Locator:
    """Return the field for the text of the segment that is edited."""
    return page.get_by_label(re.compile("^Text at"))


def card(page: Page, name: str) -> Locator:
    return page.get_by_role("article").filter(has_text=name)


def test_from_the_first_visit_to_the_subtitles(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.page
    page.goto(visitor.url)
    page.get_by_role("button", name="Create an account").click()
    page.get_by_label("Username").fill("traveller")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create an account").click()

    drop(page, *(DATA / name for name in NAMES))
    for name in NAMES:
        expect(card(page, name)).to_be_visible()
    jfk = card(page, "jfk.wav")
    expect(jfk).to_contain_text("0:11")
    jfk.get_by_role("button", name="Transcribe").click()
    expect(jfk).to_contain_text("Price in tokens: 11. Balance: 1,000.")
    jfk.get_by_role("button", name="Start").click()
    expect(jfk.get_by_role("link", name="tiny.en")).to_be_visible()
    page.reload()  # in the middle
    jfk.get_by_role("link", name="tiny.en").click()
    expect(page.locator(".segments p").first).to_contain_text("Americans", timeout=60_000)
    expect(page).to_have_title(re.compile("jfk"))

    click_word(page, "country")
    spoken = page.evaluate(TIME)
    assert 4 < spoken < 11
    page.wait_for_function(f"() => {TIME} > {spoken + 0.3}")
    expect(page.locator("[aria-current=true]")).to_have_count(1)
    page.keyboard.press("k")
    assert page.evaluate("document.querySelector('audio').paused")
    assert page.evaluate("CSS.highlights.get('spoken').size") == 1

    page.get_by_role("button", name="Edit").click()
    box = editor(page)
    if "Americans" not in box.input_value():
        click_word(page, "Americans")
    box.fill(box.input_value().replace("Americans", "Canadians"))
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    page.get_by_role("button", name="Edit").click()

    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "jfk.srt"
    download.value.save_as(tmp_path / "jfk.srt")
    assert "my fellow Canadians" in (tmp_path / "jfk.srt").read_text()

    page.get_by_role("searchbox").fill("canadians")
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator("mark")).to_have_text("Canadians")
    page.locator("mark").click()
    expect(page).to_have_url(re.compile(r"#/t/[0-9a-f]{32}\?t=[\d.]+$"))
    expect(page.locator(".segments p").first).to_contain_text("Canadians")
    page.wait_for_function(f"() => {TIME} > 0.2")

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert not page.evaluate("sessionStorage.getItem('session')")


def test_a_link_opens_at_its_moment(visitor: Visitor, live_server: LiveServer) -> None:
    client = Client(live_server, "linker")
    uuid = transcribed(client, DATA / "jfk.wav")
    page = visitor.page
    page.goto(f"{visitor.url}/#/t/{uuid}?t=7.5")
    expect(page.locator(".segments p").first).to_contain_text("Americans")
    page.wait_for_function(f"() => {TIME} === 7.5")
    expect(page.get_by_role("button", name="Edit")).to_have_count(0)


def test_errors_are_shown_where_they_belong(visitor: Visitor, live_server: LiveServer) -> None:
    visitor.expects_errors = True
    Client(live_server, "mistaken")
    page = visitor.page
    page.goto(visitor.url)
    page.get_by_label("Username").fill("mistaken")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Authentication failed")).to_be_visible()
    page.get_by_role("button", name="Create an account").click()
    page.get_by_label("Username").fill("mistaken")
    page.get_by_label("Password").fill("short")
    page.get_by_role("button", name="Create an account").click()
    expect(page.get_by_text("Password must")).to_be_visible()
    page.get_by_role("button", name="I have an account").click()
    visitor.sign_in("mistaken")
    drop(page, DATA / "README.md")
    expect(page.get_by_text("Unsupported content type")).to_be_visible()
    page.goto(f"{visitor.url}/#/t/{32 * '0'}")
    expect(page.get_by_text("Transcription not found")).to_be_visible()


def test_a_session_that_ends_loses_nothing(visitor: Visitor, live_server: LiveServer) -> None:
    visitor.expects_errors = True
    client = Client(live_server, "expired")
    uuid = transcribed(client, DATA / "austen-0880.wav")
    page = visitor.sign_in("expired", f"#/t/{uuid}")
    page.get_by_role("button", name="Edit").click()
    for session in client.call("GET", "/user/session")["sessions"]:
        headers = {"Authorization": f"Basic {session['session_id']}"}
        client.headers, kept = headers, client.headers
        client.call("POST", "/user/logout")
        client.headers = kept
    editor(page).press_sequentially("Written while away. ")
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Password").fill(PASSWORD)
    dialog.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    text = client.call("GET", f"/transcribe/{uuid}")["data"]["text"]
    assert "Written while away." in text


def test_two_windows_do_not_overwrite_each_other(
    open_window: Callable[..., Visitor], live_server: LiveServer
) -> None:
    client = Client(live_server, "twofold")
    uuid = transcribed(client, DATA / "austen-0880.wav")
    pages = []
    for _ in range(2):
        visitor = open_window()
        visitor.expects_errors = True
        pages.append(visitor.sign_in("twofold", f"#/t/{uuid}"))
    for page, text in zip(pages, ("First. ", "Second. "), strict=True):
        page.get_by_role("button", name="Edit").click()
        editor(page).press_sequentially(text)
        if page is pages[0]:
            expect(page.get_by_text("Saved", exact=True)).to_be_visible()
    expect(pages[1].get_by_text("saved first")).to_be_visible()
    pages[1].get_by_role("button", name="Keep mine").click()
    expect(pages[1].get_by_text("Saved", exact=True)).to_be_visible()
    answer = client.call("GET", f"/transcribe/{uuid}")
    assert answer["revision"] == 2
    assert "Second." in answer["data"]["text"]
    assert "First." not in answer["data"]["text"]


def test_an_administrator_grants_tokens(visitor: Visitor, live_server: LiveServer) -> None:
    client = Client(live_server, "grantee")
    Client(live_server, "grantor")
    make_admin(live_server, "grantor")
    page = visitor.sign_in("grantor")
    page.get_by_role("link", name="Administration").click()
    row = page.get_by_role("row").filter(has_text="grantee")
    row.get_by_role("button", name="Edit").click()
    page.get_by_label("Balance in tokens").fill("77")
    page.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("77")
    assert client.call("GET", "/user")["token_balance"] == 77
