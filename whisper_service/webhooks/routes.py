"""The routes of a user's webhooks."""

from typing import Any

from flask import Blueprint

from whisper_service import ids
from whisper_service.errors import InvalidRequest
from whisper_service.tables import WebhookAttempt, WebhookEndpoint
from whisper_service.web import PREFIX, Registration, auth, params, serializers
from whisper_service.web.auth import current_user
from whisper_service.web.services import services
from whisper_service.webhooks import endpoints

private = Blueprint("webhooks", __name__)
BLUEPRINTS: tuple[Registration, ...] = ((private, PREFIX, auth.user),)


@private.post("/webhook")
@private.post("/webhooks")
def create() -> dict[str, Any]:
    url = params.text(params.json_object(), "url", missing="Missing url")
    allow_private = services().config.webhooks.allow_private
    endpoint = endpoints.create(current_user(), url, allow_private=allow_private)
    return _with_secret("Webhook created successfully", endpoint)


@private.get("/webhook")
@private.get("/webhooks")
def list_webhooks() -> dict[str, Any]:
    page = endpoints.list_owned(current_user(), *params.page())
    return {
        "webhooks": [_webhook(row) for row in page.rows],
        "pagination": serializers.pagination(page),
    }


@private.get("/webhook/<uuid>")
@private.get("/webhooks/<uuid>")
def show(uuid: str) -> dict[str, Any]:
    endpoint = endpoints.find_owned(current_user(), ids.parse(uuid))
    return _webhook(endpoint) | {
        "attempts": [_attempt(row) for row in endpoints.list_attempts(endpoint)]
    }


@private.patch("/webhook/<uuid>")
@private.patch("/webhooks/<uuid>")
def update(uuid: str) -> dict[str, Any]:
    body = params.json_object()
    if body.get("enabled") is None:
        raise InvalidRequest("Missing enabled")
    enabled = params.optional_bool(body, "enabled")
    change = endpoints.enable if enabled else endpoints.disable
    change(current_user(), ids.parse(uuid))
    return {
        "message": "Webhook updated successfully",
        "uuid": ids.parse(uuid),
        "enabled": enabled,
    }


@private.post("/webhook/<uuid>/rotate")
@private.post("/webhooks/<uuid>/rotate")
def rotate(uuid: str) -> dict[str, Any]:
    endpoint = endpoints.rotate(current_user(), ids.parse(uuid))
    return _with_secret("Secret rotated successfully", endpoint)


@private.post("/webhook/<uuid>/test")
@private.post("/webhooks/<uuid>/test")
def send_test(uuid: str) -> dict[str, Any]:
    message = endpoints.send_test(current_user(), ids.parse(uuid))
    services().worker.changes.notify()
    return {"message": "Test message queued", "message_uuid": message.uuid}


@private.delete("/webhook/<uuid>")
@private.delete("/webhooks/<uuid>")
def delete(uuid: str) -> dict[str, Any]:
    endpoint = endpoints.delete(current_user(), ids.parse(uuid))
    return {"message": "Webhook deleted successfully", "uuid": endpoint.uuid, "url": endpoint.url}


def _with_secret(message: str, row: WebhookEndpoint) -> dict[str, Any]:
    return {
        "message": message,
        "uuid": row.uuid,
        "url": row.url,
        "secret": row.secret,
        "note": "Save this secret securely. You won't be able to see it again.",
    }


def _webhook(row: WebhookEndpoint) -> dict[str, Any]:
    return {
        "uuid": row.uuid,
        "url": row.url,
        "created_at": serializers.timestamp(row.created_at),
        "enabled": row.disabled_reason is None,
        "disabled_reason": row.disabled_reason,
        "failing_since": serializers.timestamp(row.failing_since),
        "waiting": row.waiting,
    }


def _attempt(row: WebhookAttempt) -> dict[str, Any]:
    return {
        "attempted_at": serializers.timestamp(row.at),
        "message_uuid": row.message_uuid,
        "type": row.type,
        "transcription_uuid": row.transcription_uuid,
        "attempt": row.number,
        "http_status": row.http_status,
        "error": row.error,
        "next_attempt_at": serializers.timestamp(row.next_at),
    }
