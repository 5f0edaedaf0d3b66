"""Watch a folder and transcribe in a process that kills itself before its n-th effect.

Effects are the commits of the database, and the opening, linking, renaming and removing of files.
"""

import os
import signal
import sys
from pathlib import Path

from tests.support.service import Service, in_process
from tests.support.watching import WatchedFolder, watched_settings
from whisper_service import db
from whisper_service.files import inventory
from whisper_service.jobs import outcomes
from whisper_service.tables import User

EFFECTS = {"open", "os.link", "os.rename", "os.remove"}


def resume(service: Service) -> WatchedFolder:
    """Start to watch, after what the service does at its start."""
    if not User.select().exists():
        service.register("ann")
    service.storage.sweep(*inventory.list_stored(db.database.connection()))
    outcomes.requeue_interrupted()
    folder = WatchedFolder(service, Path(service.settings.watch.path))
    folder.restart()
    return folder


def kill_before(left: int) -> None:
    def count(is_effect: object) -> None:
        nonlocal left
        left -= bool(is_effect)
        if is_effect and left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(lambda event, _: count(event in EFFECTS))
    db.database.connection().set_trace_callback(lambda sql: count(sql == "COMMIT"))


def main() -> None:
    folder, models, left = sys.argv[1:]
    with in_process(watched_settings(Path(folder), Path(models))) as service:
        watched = resume(service)
        kill_before(int(left))
        watched.settle()


if __name__ == "__main__":
    main()
