from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.service import Service
from tests.support.watching import WatchedFolder
from whisper_service.config import Config, WatchSettings


@pytest.fixture
def settings(settings: Config, tmp_path: Path) -> Config:
    path = tmp_path / "watched"
    path.mkdir()
    return replace(settings, watch=WatchSettings(str(path), "ann", "ggml-tiny.en"))


@pytest.fixture
def watched(service: Service) -> WatchedFolder:
    """A folder watched for ann, who has an account."""
    service.register("ann")
    folder = WatchedFolder(service, Path(service.settings.watch.path))
    folder.restart()
    return folder
