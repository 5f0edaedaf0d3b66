"""The README's examples."""

import re

from tests.support.paths import ROOT

README = (ROOT / "README.md").read_text()


def block(heading: str, language: str) -> str:
    """Take the first code block below a heading, made to fit the tests' server and model."""
    section = README.split(f"## {heading}\n", 1)[1]
    found = re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert found
    return found[1]
