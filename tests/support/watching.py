"""A watched folder, and looks at it at times that a test sets."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.support.harness import seeded
from tests.support.recordings import as_wav, sound
from tests.support.service import Service, settings_in
from whisper_service.config import Config, WatchSettings
from whisper_service.jobs import queue
from whisper_service.watch import settings
from whisper_service.watch.watcher import Watcher

HOUR = 3600.0
# Recordings of a second, which are converted faster than speech; each costs a token.
TALK, OTHER = (as_wav(sound(seeded(number), 1)) for number in range(2))


def watched_settings(folder: Path, models: Path) -> Config:
    """Return settings of a service that watches a new folder, too, for ann."""
    path = folder / "watched"
    path.mkdir(exist_ok=True)
    watch = WatchSettings(str(path), "ann", "ggml-tiny.en")
    return replace(settings_in(folder, models), watch=watch)


@dataclass
class WatchedFolder:
    """A folder that `service` watches for ann. Its clock goes on when a test says so."""

    service: Service
    path: Path
    now: float = 2e9

    def restart(self, **changes: Any) -> None:
        """Forget all that is not in the database, as an end of the service does."""
        config = replace(
            self.service.settings, watch=replace(self.service.settings.watch, **changes)
        )
        settings.check(config, self.service.storage)
        self.service.settings = config
        wake = self.service.worker.wake
        self.watcher = Watcher(config, self.service.storage, wake, now=lambda: self.now)

    def add(self, name: str, source: Path | bytes) -> Path:
        """Put a recording into the folder, as old as the clock says."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source if isinstance(source, bytes) else source.read_bytes())
        os.utime(path, (self.now, self.now))
        return path

    def look(self, seconds: float = 10) -> bool:
        """Look once, some seconds after the last time."""
        self.now += seconds
        return self.watcher.look_once()

    def settle(self) -> None:
        """Look until everything is transcribed and written that can be."""
        for _ in range(4):
            self.look()
            while self.service.worker.extract_once() or queue.complete_stored():
                pass
            self.service.transcribe(self.service.engine)

    def retry(self) -> None:
        """Look again when what failed is due once more."""
        self.now += HOUR / 2
        self.settle()

    def names(self) -> list[str]:
        """Return the names of all that is in the folder, hidden files too."""
        inside = (path for path in self.path.rglob("*") if path.is_file() or path.is_symlink())
        return sorted(str(path.relative_to(self.path)) for path in inside)
