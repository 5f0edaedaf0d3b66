"""The table that an attack's figures end up in."""

from pathlib import Path

import pytest

from tests.support.harness import FULL, SEED, Figure

FOLDER = Path(__file__).parent
_FIGURES: list[tuple[str, str, str]] = []


@pytest.fixture
def figure() -> Figure:
    """Report what an attack found: its name, the goal, what was measured."""
    return lambda what, goal, measured: _FIGURES.append((what, goal, measured))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == FOLDER:
            item.add_marker("torture")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FULL and _FIGURES:
        terminalreporter.section(f"torture, seed {SEED}")
        terminalreporter.write_line("| what | goal | measured |\n| --- | --- | --- |")
        for row in _FIGURES:
            terminalreporter.write_line(f"| {' | '.join(row)} |")
