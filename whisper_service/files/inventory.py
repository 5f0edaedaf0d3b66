"""What has to be in the storage folder, by the database or a copy of it."""

import sqlite3

from whisper_service.files.storage import StoredFile


def list_stored(connection: sqlite3.Connection) -> tuple[list[StoredFile], list[str]]:
    """Return all files, and the uuids of all avatars."""
    files = connection.execute("SELECT uuid, status = 'ready', samples IS NOT NULL FROM file")
    avatars = connection.execute("SELECT avatar_uuid FROM user WHERE avatar_uuid IS NOT NULL")
    return [StoredFile(*row) for row in files], [uuid for (uuid,) in avatars]
