"""Search over the caller's own transcripts."""

from typing import Any

from flask import Blueprint, request

from whisper_service.errors import InvalidRequest
from whisper_service.jobs import search
from whisper_service.web import params, serializers
from whisper_service.web.auth import current_user

# Characters. FTS5 takes a query of up to 256 levels, which takes more than these.
MAX_LENGTH = 500

private = Blueprint("search", __name__)


@private.get("/search")
def find() -> dict[str, Any]:
    searched = request.args.get("q", "")
    if len(searched) > MAX_LENGTH:
        raise InvalidRequest(f"q must be at most {MAX_LENGTH} characters")
    page = search.find(current_user().id, searched, *params.page())
    return {
        "hits": [serializers.search_hit(hit) for hit in page.rows],
        "pagination": serializers.pagination(page),
    }
