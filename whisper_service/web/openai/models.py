"""Models by the names that OpenAI's clients use."""

from typing import Any

from whisper_service.models import catalog
from whisper_service.models.catalog import ModelFile
from whisper_service.web.services import services


def find(name: str) -> ModelFile:
    """Return the model of a name or alias. Raises NotFound."""
    config = services().config.models
    return catalog.find(config.path, _aliases().get(name, name))


def available() -> list[dict[str, Any]]:
    """Describe all models, and the aliases of those that are there."""
    found = {model.name: model for model in catalog.available(services().config.models.path)}
    named = {alias: found[name] for alias, name in _aliases().items() if name in found}
    return [describe(name, model) for name, model in {**found, **named}.items()]


def describe(name: str, model: ModelFile) -> dict[str, Any]:
    created = int(model.path.stat().st_mtime)
    return {"id": name, "object": "model", "created": created, "owned_by": "whisper-service"}


def _aliases() -> dict[str, str]:
    config = services().config.models
    return {alias: name or config.default for alias, name in config.aliases}
