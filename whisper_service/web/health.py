"""Whether the service is well."""

from typing import Any

from flask import Blueprint

from whisper_service.tables import User
from whisper_service.web.services import services

public = Blueprint("health", __name__)


@public.get("/health")
def health() -> dict[str, Any]:
    """Answer when the database can be read and the worker goes on; else it is an error."""
    User.select().limit(1).exists()
    services().worker.check()
    return {"status": "ok"}
