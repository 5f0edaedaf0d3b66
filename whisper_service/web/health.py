"""The health check."""

from typing import Any

from flask import Blueprint

from whisper_service.tables import User
from whisper_service.web.services import services

public = Blueprint("health", __name__)


@public.get("/health")
def health() -> dict[str, Any]:
    """Succeed if the database can be read and the worker makes progress."""
    User.select().limit(1).exists()
    services().worker.check()
    return {"status": "ok"}
