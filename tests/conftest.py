"""Fixtures: a service in a temporary folder, in this process or in one of its own."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.harness import FULL, SEED, Figure
from tests.support.live import LiveServer, measured, start_server
from tests.support.models import TINY_EN
from tests.support.service import Service, in_process, settings_in
from whisper_service.config import Config
from whisper_service.models import fetch, ggml

_FIGURES: list[tuple[str, str, str]] = []
WEIGHTS = Path(__file__).parent / "weights"


def pytest_xdist_auto_num_workers() -> int:
    """Run one worker more than there are cores, for tests also wait."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def tiny_en_model() -> Path:
    """The real tiny.en, fetched once into a folder that git ignores."""
    WEIGHTS.mkdir(exist_ok=True)
    folder = os.open(WEIGHTS, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)  # for tests run in several processes
    try:
        return fetch.fetch("ggml-tiny.en", WEIGHTS)
    finally:
        os.close(folder)


@pytest.fixture(scope="session")
def stub_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the header of tiny.en alone, for services whose engine hears nothing."""
    folder = tmp_path_factory.mktemp("models")
    with (folder / "ggml-tiny.en.bin").open("wb") as file:
        ggml.write_header(file, TINY_EN)
    return folder


@pytest.fixture
def settings(tmp_path: Path, stub_models: Path) -> Config:
    return settings_in(tmp_path, stub_models)


@pytest.fixture(scope="session", autouse=True)
def _private() -> None:
    """Keep what tests write from other users, as app.py does."""
    os.umask(0o077)


@pytest.fixture
def service(settings: Config) -> Iterator[Service]:
    with in_process(settings) as service:
        yield service


@pytest.fixture
def figure() -> Figure:
    """Report what an attack found: its name, the goal, what was measured."""
    return lambda what, goal, measured: _FIGURES.append((what, goal, measured))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if FULL and _FIGURES:
        terminalreporter.section(f"torture, seed {SEED}")
        terminalreporter.write_line("| what | goal | measured |\n| --- | --- | --- |")
        for row in _FIGURES:
            terminalreporter.write_line(f"| {' | '.join(row)} |")


@pytest.fixture(scope="session")
def live_server(
    tiny_en_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    server = start_server(tmp_path_factory.mktemp("live"), tiny_en_model.parent, **measured())
    yield server
    assert server.stop() == 0
