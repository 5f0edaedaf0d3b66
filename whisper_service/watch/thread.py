"""The thread that watches the folder."""

import logging
import threading
from collections.abc import Callable

from whisper_service import db
from whisper_service.config import Config
from whisper_service.errors import Cancelled
from whisper_service.files.storage import Storage
from whisper_service.watch.watcher import Watcher

# Between two looks: while something is about to happen, otherwise, and after an unexpected error.
SHORT_PAUSE, LONG_PAUSE, ERROR_PAUSE = 2.0, 10.0, 60.0
# How long the end of the service waits for the thread, which may be checking a hostile file for a
# minute. A kill at any moment harms nothing.
STOP_SECONDS = 5.0

logger = logging.getLogger(__name__)


def run(config: Config, storage: Storage, wake: Callable[[], None]) -> Callable[[], None]:
    """Watch the folder in a thread; return what ends that."""
    stopped = threading.Event()
    watcher = Watcher(config, storage, wake, lambda: not stopped.is_set())
    thread = threading.Thread(target=_repeat, args=(watcher, stopped), name="watch", daemon=True)
    thread.start()

    def stop() -> None:
        stopped.set()
        thread.join(STOP_SECONDS)

    return stop


def _repeat(watcher: Watcher, stopped: threading.Event) -> None:
    try:
        while not stopped.wait(_look(watcher)):
            pass
    finally:
        db.database.close()


def _look(watcher: Watcher) -> float:
    """Take a look, and return how many seconds later to take the next one."""
    try:
        return SHORT_PAUSE if watcher.look_once() else LONG_PAUSE
    except Cancelled:
        return 0
    except Exception as error:
        if db.is_full(error):
            watcher.warn_full()
            return LONG_PAUSE
        logger.exception("A look at the watched folder failed")
        return ERROR_PAUSE
