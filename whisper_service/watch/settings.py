"""Whether the settings of the watched folder can work."""

import os
from collections.abc import Sequence
from pathlib import Path

from whisper_service.accounts import users
from whisper_service.config import Config
from whisper_service.errors import CommandError
from whisper_service.files.storage import Storage
from whisper_service.transcripts.formats import FORMATS
from whisper_service.whisper import languages


def check(config: Config, storage: Storage) -> None:
    """Raise CommandError, which names the setting, for one that cannot work.

    The model may come later.
    """
    settings = config.watch
    _check_folder(Path(settings.path), storage)
    if not users.find(settings.user):
        raise CommandError(f"watch.user must be an existing account, not {settings.user!r}")
    if not settings.model:
        raise CommandError("watch.model must be a non-empty string, not ''")
    if settings.language != "auto" and settings.language not in languages.CODES:
        raise CommandError(
            f'watch.language must be "auto" or the code of a language, not {settings.language!r}'
        )
    _check_formats(settings.formats)


def _check_folder(folder: Path, storage: Storage) -> None:
    if not folder.is_dir() or not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise CommandError(
            f"watch.path must be a folder that the service may read and write, not {folder}"
        )
    watched, stored = folder.resolve(), storage.root.resolve()
    if watched.is_relative_to(stored) or stored.is_relative_to(watched):
        raise CommandError("watch.path and storage.path must not contain one another")


def _check_formats(formats: Sequence[str]) -> None:
    known = ", ".join(FORMATS)
    if not formats or not FORMATS.keys() >= set(formats):
        raise CommandError(f"watch.formats must be some of {known}, not {list(formats)}")
    endings = [FORMATS[name].ending for name in formats]
    if len(set(endings)) < len(endings):
        raise CommandError(f"watch.formats must have different endings, unlike {list(formats)}")
