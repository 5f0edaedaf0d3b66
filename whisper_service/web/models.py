"""The available models."""

from typing import Any

from flask import Blueprint

from whisper_service.models import catalog
from whisper_service.web import params
from whisper_service.web.services import services
from whisper_service.whisper import languages

private = Blueprint("models", __name__)


@private.get("/model")
@private.get("/models")
def available() -> dict[str, Any]:
    with_size = params.flag("size")
    return {
        "models": [
            {"name": model.name, "size": model.size} if with_size else {"name": model.name}
            for model in catalog.available(services().config.models.path)
        ],
        "languages": sorted(languages.CODES),
    }
