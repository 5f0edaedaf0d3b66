"""Whether the service is well."""

from typing import Any

from flask import Blueprint

from whisper_service.tables import User

public = Blueprint("health", __name__)


@public.get("/health")
def health() -> dict[str, Any]:
    User.select().limit(1).exists()
    return {"status": "ok"}
