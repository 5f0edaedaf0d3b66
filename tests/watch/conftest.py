from pathlib import Path

import pytest

from tests.support.service import Service
from tests.support.watching import WatchedFolder, watched_settings
from whisper_service.config import Config


@pytest.fixture
def settings(tmp_path: Path, stub_models: Path) -> Config:
    return watched_settings(tmp_path, stub_models)


@pytest.fixture
def watched(service: Service) -> WatchedFolder:
    """A folder watched for ann, who has an account."""
    service.register("ann")
    folder = WatchedFolder(service, Path(service.settings.watch.path))
    folder.restart()
    return folder
