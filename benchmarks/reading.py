"""The page with a transcript of three hours in a real browser."""

import json
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks.report import print_ratio
from benchmarks.service import Client, running
from tests.support.ffmpeg import run_ffmpeg

SEGMENTS, WORDS, SECONDS = 4000, 10, 3 * 3600
SILENCE_SECONDS = 60  # the recording; the transcript claims the rest
OPEN_SECONDS, TASK_SECONDS = 1.5, 0.1
LAST = f"() => document.querySelectorAll('.segments li').length === {SEGMENTS}"
# The longest task since the page was opened, in milliseconds.
WATCH = """
window.longest = 0;
new PerformanceObserver((list) => {
  for (const { duration } of list.getEntries()) longest = Math.max(longest, duration);
}).observe({ type: "longtask", buffered: true });
"""
SCROLL = "scrollTo(0, document.documentElement.scrollHeight * {share})"


def compare(models: Path, model: str, folder: Path, pairs: int) -> None:
    """Print how long opening takes, and the longest task while it plays and scrolls."""
    program = shutil.which("chromium")
    if program is None:
        print("| page, a transcript of 3 hours | not measured: there is no chromium |")
        return
    with running(folder / "page", models, "off") as server, sync_playwright() as playwright:
        uuid = _transcript(server.url, folder, model)
        browser = playwright.chromium.launch(
            executable_path=program,
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
        )
        found = [_read(browser.new_page(), f"{server.url}/#/t/{uuid}") for _ in range(pairs)]
        browser.close()
    opened, tasks = zip(*found, strict=True)
    title = "page, 4,000 segments"
    print_ratio(f"{title}: opened, over the goal", [(s, OPEN_SECONDS) for s in opened], "1")
    print_ratio(f"{title}: longest task, over the goal", [(s, TASK_SECONDS) for s in tasks], "1")


def _read(page: Page, url: str) -> tuple[float, float]:
    """Open a transcript, play and scroll; return the seconds to open, and of the longest task."""
    page.add_init_script(WATCH)
    page.goto(url, wait_until="commit")
    page.wait_for_function(LAST, polling=20)
    opened: float = page.evaluate("performance.now()") / 1000
    page.keyboard.press("k")
    for step in range(10):
        page.evaluate(SCROLL.format(share=step / 10))
        page.wait_for_timeout(100)
    longest: float = page.evaluate("longest") / 1000
    page.close()
    return opened, longest


def _transcript(url: str, folder: Path, model: str) -> str:
    """Store a transcript of three hours with the times of its words; return its uuid."""
    path = folder / "silence.mp3"
    silence = f"-f lavfi -i anullsrc=r=16000:cl=mono -t {SILENCE_SECONDS} -b:a 32k"
    run_ffmpeg(*silence.split(), path)
    user = Client(url, "reader")
    (uuid,) = user.order(user.upload(path), model, ["verbose_json"])
    # The list renders no transcript, and so keeps none in the cache.
    while user.call("GET", "/transcribe")["transcriptions"][0]["status"] != "completed":
        time.sleep(0.2)
    with closing(sqlite3.connect(folder / "page" / "service.db", timeout=30)) as connection:
        connection.execute("UPDATE transcript SET data = ?", (json.dumps(_speech()),))
        connection.commit()
    return uuid


def _speech() -> dict[str, Any]:
    length = SECONDS / SEGMENTS
    segments = [_segment(number * length, length) for number in range(SEGMENTS)]
    text = " ".join(segment["text"] for segment in segments)
    return {"text": text, "language": "en", "duration": float(SECONDS), "segments": segments}


def _segment(start: float, length: float) -> dict[str, Any]:
    texts = [f"word{number}" for number in range(WORDS)]
    part = length / WORDS
    words = [
        {"text": text, "start": start + number * part, "end": start + (number + 1) * part}
        for number, text in enumerate(texts)
    ]
    return {
        "start": start,
        "end": start + length,
        "text": " ".join(texts),
        "tokens": [],
        "avg_logprob": -0.2,
        "compression_ratio": 1.0,
        "temperature": 0.0,
        "words": words,
        "language": "en",
    }
