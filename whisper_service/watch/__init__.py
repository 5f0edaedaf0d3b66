"""A folder whose recordings are transcribed for one account; the results are written beside them.

Nothing of this is imported while `[watch] path` is empty.
"""

from collections.abc import Callable

from whisper_service.config import Config
from whisper_service.files.storage import Storage
from whisper_service.jobs.worker import Worker
from whisper_service.watch import settings, thread


def start(config: Config, storage: Storage, worker: Worker) -> Callable[[], None]:
    """Start watching; return what stops it. Raises CommandError for settings that cannot work."""
    settings.check(config, storage)
    return thread.run(config, storage, worker.wake)
