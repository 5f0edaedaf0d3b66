"""User accounts, for administrators."""

from typing import Any

from flask import Blueprint

from whisper_service import ids, metrics
from whisper_service.accounts import statistics
from whisper_service.billing import MAX_BALANCE
from whisper_service.errors import InvalidRequest
from whisper_service.web import params, serializers
from whisper_service.web.auth import current_user
from whisper_service.web.services import services

MAX_MULTIPLIER = 1000

private = Blueprint("admin", __name__)


@private.get("/admin/users")
def users() -> dict[str, Any]:
    page = statistics.list_users(*params.page())
    found = statistics.count_by_user(page.rows, services().config.auth.session_hours)
    return {
        "users": [serializers.user_with_statistics(row, found[row.id]) for row in page.rows],
        "pagination": serializers.pagination(page),
    }


@private.get("/admin/engines")
def engines() -> dict[str, Any]:
    found = services().worker.runner.scheduler.engines()
    return {
        "machines": [
            {"name": name, "engines": count.engines, "busy": count.busy}
            for name, count in sorted(found.items())
        ],
        **metrics.cluster_totals(),
    }


@private.patch("/admin/users/<uuid>")
def update(uuid: str) -> dict[str, Any]:
    uuid = ids.parse(uuid)
    body = params.json_object()
    balance = params.optional_integer(body, "token_balance", MAX_BALANCE)
    multiplier = params.optional_decimal(body, "price_multiplier", MAX_MULTIPLIER, places=6)
    values = {"token_balance": balance, "price_multiplier": multiplier}
    fields = [name for name, value in values.items() if value is not None]
    if not fields:
        raise InvalidRequest("No valid fields to update. Give token_balance or price_multiplier")
    user = statistics.update_user(current_user(), uuid, balance, multiplier)
    return {
        "message": "User updated successfully",
        "updated_fields": fields,
        "user": serializers.priced_user(user),
    }
