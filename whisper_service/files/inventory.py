"""What has to be in the storage folder, by the database or a copy of it."""

import sqlite3

from whisper_service.files.storage import StoredFile, StoredUpload


def list_stored(
    connection: sqlite3.Connection,
) -> tuple[list[StoredFile], list[str], list[StoredUpload]]:
    """Return all files, the uuids of all avatars, and all resumable uploads."""
    files = connection.execute("SELECT uuid, status = 'ready', samples IS NOT NULL FROM file")
    avatars = connection.execute("SELECT avatar_uuid FROM user WHERE avatar_uuid IS NOT NULL")
    uploads = connection.execute(
        "SELECT uuid, expires_at, file_uuid IS NOT NULL OR error IS NOT NULL FROM upload"
    )
    return (
        [StoredFile(*row) for row in files],
        [uuid for (uuid,) in avatars],
        [StoredUpload(*row) for row in uploads],
    )
