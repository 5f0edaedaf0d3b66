"""Removing resumable uploads that have expired."""

import math
import time

from peewee import fn

from whisper_service.config import Config
from whisper_service.db import write_transaction
from whisper_service.files import resumable
from whisper_service.files.storage import Storage
from whisper_service.tables import Upload

BATCH_SIZE = 100


def remove_expired(config: Config, storage: Storage) -> bool:
    """Remove a batch of the expired uploads. Return whether any could have been expired.

    Without a query before the first one can be, so none at all while there are no uploads.
    """
    now = int(time.time())
    if now < storage.uploads.next_expiry:
        return False
    storage.uploads.next_expiry = math.inf
    try:
        for row in list(Upload.select().where(Upload.expires_at <= now).limit(BATCH_SIZE)):
            _renew_or_remove(row, now, config, storage)
        next_expiry = Upload.select(fn.MIN(Upload.expires_at)).scalar()
    except BaseException:
        storage.uploads.expect_expiry(now)
        raise
    storage.uploads.expect_expiry(next_expiry or math.inf)
    return True


def _renew_or_remove(row: Upload, now: int, config: Config, storage: Storage) -> None:
    """Note when an upload that has received bytes expires; remove another one."""
    unchanged = Upload.uuid == row.uuid, Upload.expires_at == row.expires_at
    expires_at = resumable.expires_at(row, config, storage)
    with write_transaction():
        if expires_at > now:
            Upload.update(expires_at=expires_at).where(*unchanged).execute()
            return
        removed = Upload.delete().where(*unchanged).execute()
    if removed:
        storage.uploads.remove(row.uuid)
