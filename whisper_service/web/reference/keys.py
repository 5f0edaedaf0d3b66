"""API keys and sessions, and what administrators may do."""

from whisper_service.web.reference.notation import (
    ADMIN,
    BY_UUID,
    PAGE,
    PAGE_ERRORS,
    Group,
    Operation,
    body,
    in_path,
    listed,
    record,
    ref,
    told,
)
from whisper_service.web.reference.schemas import EXAMPLE_UUID, STRING, UUID

KEYS_AND_SESSIONS = (
    Operation(
        "GET /api/v1/user/token",
        "listApiKeys",
        "The user's API keys, oldest first",
        told(record({"tokens": listed(ref("ApiKey"))})),
    ),
    Operation(
        "POST /api/v1/user/token",
        "issueApiKey",
        "Issue an API key",
        told(
            ref("IssuedApiKey"),
            {
                "message": "Token issued successfully",
                "token_id": EXAMPLE_UUID,
                "token": "018c5f9a7b2e7a8c9d0e1f2a3b4c5d6f",
                "name": "Production API Key",
                "note": "Save this token securely. You won't be able to see it again.",
            },
        ),
        about="The answer is the only place where the whole key is ever shown.",
        body=body(ref("NewApiKey"), {"name": "Production API Key"}),
        errors={
            400: (
                "Missing 'name' field in request body",
                "Token name must be between 1 and 255 characters",
            )
        },
    ),
    Operation(
        "DELETE /api/v1/user/token/{token_id}",
        "revokeApiKey",
        "Revoke an API key",
        told(
            record({"message": STRING, "token_id": UUID, "token_name": STRING}),
            {
                "message": "Token revoked successfully",
                "token_id": EXAMPLE_UUID,
                "token_name": "Production API Key",
            },
        ),
        parameters=(in_path("token_id", ref("AnyUuid")),),
        errors={400: ("Invalid token ID format",), 404: ("Token not found or access denied",)},
    ),
    Operation(
        "GET /api/v1/user/session",
        "listSessions",
        "The user's sessions that have neither ended nor expired, oldest first",
        told(record({"sessions": listed(ref("Session"))})),
    ),
)
ADMINISTRATION = (
    Operation(
        "GET /api/v1/admin/users",
        "listUsers",
        "All accounts with their statistics, newest first",
        told(record({"users": listed(ref("UserWithStatistics")), "pagination": ref("Pagination")})),
        ADMIN,
        parameters=PAGE,
        errors={400: PAGE_ERRORS},
    ),
    Operation(
        "PATCH /api/v1/admin/users/{uuid}",
        "updateAnyUser",
        "Set a user's balance, price or both",
        told(
            record(
                {
                    "message": STRING,
                    "updated_fields": listed({"enum": ["token_balance", "price_multiplier"]}),
                    "user": ref("PricedUser"),
                }
            )
        ),
        ADMIN,
        "All of it or nothing.",
        parameters=(BY_UUID,),
        body=body(ref("UserChange"), {"token_balance": 5000, "price_multiplier": 0.5}),
        errors={
            400: (
                "No valid fields to update. Give token_balance or price_multiplier",
                "token_balance must be an integer",
                "price_multiplier must be non-negative",
                "price_multiplier must be at most 1000",
            ),
            404: ("User not found",),
        },
    ),
)
GROUPS = (
    Group("Keys and sessions", "What a caller can show to be let in.", KEYS_AND_SESSIONS),
    Group("Administration", "For administrators alone.", ADMINISTRATION),
)
