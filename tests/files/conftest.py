"""Fixtures for conversions."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from whisper_service.config import Config
from whisper_service.files import transcoding
from whisper_service.whisper.engine import Engine


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()


@pytest.fixture
def settings(settings: Config) -> Config:
    return replace(settings, storage=replace(settings.storage, max_upload_bytes=16 * 1024**2))


@pytest.fixture
def nothing_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcoding, "CONVERT_SECONDS", 20)
