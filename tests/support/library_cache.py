"""A cache for libraries of a test's own."""

from pathlib import Path

import pytest

from whisper_service.whisper.native import library


def empty_cache(folder: Path, monkeypatch: pytest.MonkeyPatch, processor: str) -> Path:
    """Make an empty cache in a folder, for a processor with this name; return it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setattr(library, "processor", lambda: processor)
    monkeypatch.setattr(library, "why_not", lambda: None)
    library.cache_folder().mkdir()
    return library.cache_folder()
