"""Getting a model into the models folder."""

from whisper_service.config import Config
from whisper_service.models import fetch


def run(settings: Config, name: str | None) -> None:
    """Get the model of this name; without one, a starter model if there is no model yet.

    Raises CommandError with what was tried.
    """
    settings.models.path.mkdir(parents=True, exist_ok=True)
    if name:
        fetch.fetch(name, settings.models.path)
    else:
        fetch.fetch_starter(settings.models.path)
