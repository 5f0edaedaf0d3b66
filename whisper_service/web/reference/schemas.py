"""What most answers and bodies of requests are made of."""

from whisper_service.accounts import passwords
from whisper_service.accounts.users import MAX_USERNAME
from whisper_service.billing import MAX_BALANCE
from whisper_service.config import Config
from whisper_service.web.admin import MAX_MULTIPLIER
from whisper_service.web.reference.notation import Schema, listed, record, ref
from whisper_service.whisper import languages

STRING: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}
SECONDS: Schema = {"type": "number", "minimum": 0, "description": "seconds"}
# Neither the database nor a file can hold NUL.
TEXT: Schema = {"type": "string", "pattern": "^[^\\u0000]*$"}
GIVEN_TEXT: Schema = {**TEXT, "minLength": 1}
BINARY: Schema = {"type": "string", "format": "binary"}


def maybe(schema: Schema) -> Schema:
    """Let null stand for what is not there."""
    return {"anyOf": [schema, {"type": "null"}]}


UUID = ref("Uuid")
TIME = ref("Time")
NAME = ref("Username")
LANGUAGE: Schema = {"enum": ["auto", *sorted(languages.CODES)]}
EXAMPLE_UUID = "018c5f9a7b2e7a8c9d0e1f2a3b4c5d6e"


def passwords_of(config: Config) -> dict[str, Schema]:
    """Tell the rules for new passwords as they are configured here."""
    rules = config.auth
    kinds = {
        "uppercase letters": rules.password_min_uppercase,
        "lowercase letters": rules.password_min_lowercase,
        "digits": rules.password_min_digits,
        "special characters": rules.password_min_special,
    }
    wanted = ", ".join(f"{kind}: {number}" for kind, number in kinds.items())
    password = {
        **TEXT,
        "minLength": rules.password_min_length,
        "maxLength": passwords.MAX_LENGTH,
        "description": f"With at least so many {wanted}.",
        "examples": ["SecureP@ssw0rd!"],
    }
    return {"NewPassword": password}


SIMPLE: dict[str, Schema] = {
    "Error": {"type": "string", "minLength": 1, "description": "What is wrong, in a sentence."},
    "Uuid": {"type": "string", "pattern": "^[0-9a-f]{32}$", "examples": [EXAMPLE_UUID]},
    "AnyUuid": {
        "type": "string",
        "pattern": "^([0-9A-Fa-f]{32}|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})$",
        "description": "32 hex digits in any case, with hyphens or without.",
        "examples": [EXAMPLE_UUID],
    },
    "Time": {
        "type": "string",
        "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$",
        "description": "UTC; 1970-01-01 00:00:00 for what has not happened yet.",
        "examples": ["2025-01-15 10:30:45"],
    },
    "Username": {
        "type": "string",
        "pattern": f"^[A-Za-z0-9_-]{{3,{MAX_USERNAME}}}$",
        "description": "Unique whatever its case.",
        "examples": ["john_doe"],
    },
    "Pagination": record(
        {
            "page": {"type": "integer", "minimum": 1},
            "limit": {"type": "integer", "minimum": 1, "maximum": 100},
            "total_count": COUNT,
            "total_pages": COUNT,
        }
    ),
    "Model": record({"name": STRING}, {"size": {**COUNT, "description": "bytes, if asked for"}}),
}

_USER: dict[str, Schema] = {
    "uuid": UUID,
    "username": NAME,
    "is_admin": BOOLEAN,
    "registered_at": TIME,
    "token_balance": {"type": "integer", "minimum": 0, "maximum": MAX_BALANCE},
    "avatar_uuid": maybe(UUID),
}
_PRICE: Schema = {"type": "number", "minimum": 0, "maximum": MAX_MULTIPLIER}
_RECENT = record(
    {"transcriptions_count": COUNT, "total_audio_seconds": COUNT, "files_uploaded": COUNT}
)
_STATISTICS = record(
    {
        "last_30_days": _RECENT,
        "total_storage_bytes": COUNT,
        "active_sessions": COUNT,
        "api_keys_count": COUNT,
    }
)
_CHANGED: dict[str, Schema] = {
    "username": maybe(NAME),
    "password": maybe(ref("NewPassword")),
    "new_password": {**maybe(ref("NewPassword")), "description": "The same as password."},
    "old_password": {"type": ["string", "null"], "description": "Wanted for a new password."},
    "revoke_keys": {"type": ["boolean", "null"], "description": "With a password: all API keys."},
}
ACCOUNTS: dict[str, Schema] = {
    "NewAccount": record({"username": NAME, "password": ref("NewPassword")}),
    "Credentials": record({"username": GIVEN_TEXT, "password": GIVEN_TEXT}),
    "User": record(_USER),
    "UserWithStatistics": record({**_USER, "price_multiplier": _PRICE, "stats": _STATISTICS}),
    "PricedUser": record(
        {name: _USER[name] for name in ("uuid", "username", "token_balance")}
        | {"price_multiplier": _PRICE}
    ),
    "ProfileChange": record({}, _CHANGED),
    "ProfileForm": record({}, {**_CHANGED, "avatar": BINARY}),
    "UserChange": record(
        {},
        {
            "token_balance": {"type": ["integer", "null"], "minimum": 0, "maximum": MAX_BALANCE},
            "price_multiplier": {
                **_PRICE,
                "type": ["number", "null"],
                "description": "With at most 6 decimal places.",
            },
        },
    ),
    "ApiKey": record(
        {
            "token_id": UUID,
            "token": {"type": "string", "pattern": "^[0-9a-f]{4}\\.{3}[0-9a-f]{4}$"},
            "name": STRING,
            "created_at": TIME,
        }
    ),
    "NewApiKey": record({"name": {**GIVEN_TEXT, "maxLength": 255}}),
    "IssuedApiKey": record(
        {"message": STRING, "token_id": UUID, "token": UUID, "name": STRING, "note": STRING}
    ),
    "Session": record({"session_id": UUID, "started_at": TIME, "user_agent": STRING}),
}

_HASH: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$", "description": "BLAKE3"}
_REJECTIONS = [
    "unsupported_content_type",
    "no_audio_stream",
    "empty_file",
    "file_too_large",
    "quota_exceeded",
]
_FILE: dict[str, Schema] = {
    "uuid": UUID,
    "filename": STRING,
    "content_type": {**STRING, "description": "of what a download returns"},
    "size_bytes": {**COUNT, "description": "of what a download returns"},
    "uploaded_at": TIME,
    "duration_seconds": {**maybe(SECONDS), "description": "null until it is known"},
}
FILES: dict[str, Schema] = {
    "File": {
        "oneOf": [
            record({**_FILE, "status": {"enum": ["converting", "ready"]}}),
            record({**_FILE, "status": {"const": "failed"}, "error": STRING}),
        ]
    },
    "StoredFile": record(
        {
            "message": {"enum": ["File uploaded successfully", "File already exists"]},
            "filename": STRING,
            "uuid": UUID,
            "hash": _HASH,
            "status": record({"existed": BOOLEAN, "uploaded": BOOLEAN}),
        }
    ),
    "RejectedFile": record(
        {
            "message": STRING,
            "filename": STRING,
            "status": record(
                {
                    "existed": {"const": False},
                    "uploaded": {"const": False},
                    "error": {"enum": _REJECTIONS},
                }
            ),
        }
    ),
    "Uploads": record({"file": {**listed(BINARY), "minItems": 1}}),
}
