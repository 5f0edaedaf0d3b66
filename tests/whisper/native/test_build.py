"""Patches are applied as a whole or not at all, wherever the lines are."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from whisper_service.errors import CommandError
from whisper_service.whisper.native import build, library

PATCH = """Why it is done.

--- one.c
+++ one.c
@@ -40,3 +40,4 @@ context
 first
-second
+2nd
+3rd

@@ -50,2 +51,1 @@
 last
-very last
--- two.c
+++ two.c
@@ -1 +1 @@
-a
+b
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "one.c").write_text("before\nfirst\nsecond\n\nmiddle\nlast\nvery last\n")
    (tmp_path / "two.c").write_text("a\n")
    return tmp_path


def test_a_patch_is_applied_wherever_its_lines_are(source: Path) -> None:
    build.apply(PATCH, source)
    assert (source / "one.c").read_text() == "before\nfirst\n2nd\n3rd\n\nmiddle\nlast\n"
    assert (source / "two.c").read_text() == "b\n"


@pytest.mark.parametrize("other", ["c\n", "a\na\n"], ids=["gone", "ambiguous"])
def test_a_patch_that_does_not_fit_changes_nothing(source: Path, other: str) -> None:
    (source / "two.c").write_text(other)
    before = (source / "one.c").read_text()
    with pytest.raises(ValueError, match=r"two\.c has changed"):
        build.apply(PATCH, source)
    assert (source / "one.c").read_text() == before


def test_each_patch_says_why_it_is_there() -> None:
    patches = sorted(library.PATCHES.glob("*.diff"))
    assert patches
    for patch in patches:
        reason, _, diff = patch.read_text().partition("\n\n")
        assert re.match(r"[A-Z].*\.$", reason.replace("\n", " ")), patch
        assert diff.startswith("--- "), patch


def test_the_tools_of_the_build_are_locked() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    names = {re.split(r"[<>=]", requirement)[0] for requirement in groups["native"]}
    pin = r"^(\S+)==\S+(?: ; .*)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+$"
    locked = build.TOOLS.read_text()
    assert set(re.findall(pin, locked, re.MULTILINE)) >= names
    assert locked.count("==") == len(re.findall(pin, locked, re.MULTILINE))


def test_a_full_disk_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build, "NEEDED_BYTES", 2**60)
    with pytest.raises(CommandError, match="of disk space"):
        build.build(tmp_path, "native", print)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("Building\nx.cpp:1: fatal error: no such file\n\nERROR: Failed", "x.cpp:1: fatal error"),
        ("ERROR: No matching distribution", "ERROR: No matching"),
        ("only\nthis", "only"),
        ("", "no reason given"),
    ],
)
def test_a_failure_is_told_in_one_line(output: str, reason: str) -> None:
    found = build._reason(output)
    assert found.startswith(reason)
    assert "\n" not in found
