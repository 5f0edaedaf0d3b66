"""Engines on other machines: workers of a Dask cluster (docs.dask.org) do its tasks.

Nothing of this is imported while `[cluster] scheduler` is empty.
"""

from collections.abc import Callable

from whisper_service.cluster import address, membership
from whisper_service.config import Config
from whisper_service.files.storage import Storage
from whisper_service.jobs.worker import Worker


def start(config: Config, _storage: Storage, worker: Worker) -> Callable[[], None]:
    """Join the cluster; return what leaves it. Raises CommandError for a scheduler to refuse."""
    return membership.run(config.cluster, address.check(config.cluster), worker)
