"""API keys."""

from typing import Any

from flask import Blueprint

from whisper_service import ids
from whisper_service.accounts import api_keys
from whisper_service.errors import InvalidRequest
from whisper_service.web import params, serializers
from whisper_service.web.auth import current_user

private = Blueprint("api_keys", __name__)


@private.get("/user/token")
@private.get("/user/tokens")
def list_keys() -> dict[str, Any]:
    return {"tokens": [serializers.api_key(row) for row in api_keys.list_keys(current_user())]}


@private.post("/user/token")
@private.post("/user/tokens")
def issue() -> dict[str, Any]:
    name = params.optional_text(params.json_object(), "name")
    if name is None:
        raise InvalidRequest("Missing 'name' field in request body")
    token, key = api_keys.issue(current_user(), name)
    return {
        "message": "Token issued successfully",
        "token_id": token.uuid,
        "token": key,
        "name": token.name,
        "note": "Save this token securely. You won't be able to see it again.",
    }


@private.delete("/user/token/<uuid>")
@private.delete("/user/tokens/<uuid>")
def revoke(uuid: str) -> dict[str, Any]:
    token = api_keys.revoke(current_user(), ids.parse(uuid, "token ID"))
    return {
        "message": "Token revoked successfully",
        "token_id": token.uuid,
        "token_name": token.name,
    }
