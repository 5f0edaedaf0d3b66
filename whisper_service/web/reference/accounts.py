"""Accounts: registering, logging in, the caller's own."""

from whisper_service.web.reference.notation import (
    ANYONE,
    BY_UUID,
    FORM,
    JSON,
    SESSION,
    Group,
    Operation,
    answer,
    body,
    content,
    listed,
    record,
    ref,
    told,
)
from whisper_service.web.reference.schemas import (
    EXAMPLE_UUID,
    GIVEN_TEXT,
    NAME,
    STRING,
    UUID,
    maybe,
)

JOHN = {"username": "john_doe", "password": "SecureP@ssw0rd!"}
GUESSES = ("Too many failed attempts. Try again in 42 seconds",)
NAME_RULES = (
    "Invalid username. Must be 3-20 characters and contain only "
    "alphanumeric characters, underscores, or hyphens"
)
PASSWORD_RULES = (
    "Password must be at least 12 characters long",
    "Password must contain at least 1 uppercase letter(s)",
)
LAST_ADMIN = "The last administrator's account cannot be deleted. Make another administrator first"
MESSAGE = record({"message": STRING})

REGISTRATION = Operation(
    "POST /api/v1/user/register",
    "register",
    "Register a new account",
    told(
        record({"message": STRING, "username": NAME, "uuid": UUID, "session_id": UUID}),
        {
            "message": "User registered and logged in successfully",
            "username": "john_doe",
            "uuid": EXAMPLE_UUID,
            "session_id": "018c5f9a7b2e7a8c9d0e1f2a3b4c5d6f",
        },
    ),
    ANYONE,
    "Logs in as well: the session is good for some hours, 24 unless configured otherwise.",
    body=body(ref("NewAccount"), JOHN),
    errors={
        400: ("Missing username", "Missing password", NAME_RULES, *PASSWORD_RULES),
        409: ("Username already exists",),
        429: ("Too many registrations. Try again in 42 seconds",),
    },
)
LOGIN = Operation(
    "POST /api/v1/user/login",
    "login",
    "Log in",
    told(
        record(
            {
                "message": STRING,
                "username": NAME,
                "is_admin": {"type": "boolean"},
                "session_id": UUID,
            }
        ),
        {
            "message": "Login successful",
            "username": "john_doe",
            "is_admin": False,
            "session_id": "018c5f9a7b2e7a8c9d0e1f2a3b4c5d6f",
        },
    ),
    ANYONE,
    "Failed attempts are limited, for an account from one address, for one address, and more "
    "generously for an account from anywhere.",
    body=body(ref("Credentials"), JOHN),
    errors={
        400: ("Missing username", "Missing password"),
        401: ("Authentication failed",),
        429: GUESSES,
    },
)
LOGOUT = Operation(
    "POST /api/v1/user/logout",
    "logout",
    "End the current session, or another one of the user's",
    told(MESSAGE, {"message": "Logged out successfully"}),
    SESSION,
    body=body(
        record({}, {"session_id": maybe(ref("AnyUuid"))}),
        {"session_id": "018c5f9a7b2e7a8c9d0e1f2a3b4c5d6f"},
        required=False,
    ),
    errors={
        400: ("Cannot logout with API key. Use session authentication", "Invalid UUID format"),
        403: ("Cannot logout from another user's session",),
        404: ("Session not found or already ended",),
    },
)
PROFILE = (
    Operation(
        "GET /api/v1/user",
        "getUser",
        "Who the caller is",
        told(
            ref("User"),
            {
                "uuid": EXAMPLE_UUID,
                "username": "john_doe",
                "is_admin": False,
                "registered_at": "2025-01-15 10:30:45",
                "token_balance": 1000,
                "avatar_uuid": "018c5f9a7b2e7a8c9d0e1f2a3b4c5d70",
            },
        ),
    ),
    Operation(
        "PATCH /api/v1/user",
        "updateUser",
        "Change the name, the password or the avatar",
        told(
            record(
                {
                    "message": STRING,
                    "updated_fields": listed({"enum": ["username", "password", "avatar"]}),
                }
            ),
            {
                "message": "Profile updated successfully",
                "updated_fields": ["username", "avatar"],
            },
        ),
        about="All of it or nothing. A new password ends the user's other sessions, and with "
        "`revoke_keys` revokes all API keys. The avatar is a"
        "  PNG, JPEG, WebP or GIF of at most 10 MiB; its middle is kept as a PNG of 256 pixels.",
        body={
            "required": True,
            "content": {
                FORM: content(ref("ProfileForm")),
                JSON: content(ref("ProfileChange"), {"username": "john_doe"}),
            },
        },
        errors={
            400: (
                "No fields to update. Give username, password or avatar",
                "old_password is required to update password",
                "revoke_keys requires a new password",
                "Avatar file too large. Maximum size is 10MB",
                "Invalid avatar image",
                "Invalid multipart body",
                NAME_RULES,
                *PASSWORD_RULES,
            ),
            401: ("Incorrect old password",),
            409: ("Username already taken",),
            429: GUESSES,
        },
    ),
    Operation(
        "DELETE /api/v1/user",
        "deleteUser",
        "Delete the account and all that it has, running jobs included",
        told(MESSAGE, {"message": "Account deleted successfully"}),
        body=body(record({"password": GIVEN_TEXT}), {"password": JOHN["password"]}),
        errors={
            400: ("Password is required to delete account",),
            401: ("Incorrect password",),
            409: (LAST_ADMIN,),
            429: GUESSES,
        },
    ),
    Operation(
        "GET /api/v1/user/avatar/{uuid}",
        "getAvatar",
        "A user's picture",
        {200: answer("A PNG of 256 pixels", {"image/png": {}}), 304: {"description": "Unchanged"}},
        ANYONE,
        parameters=(BY_UUID,),
        errors={404: ("Avatar not found",)},
    ),
)
GROUPS = (
    Group(
        "Accounts",
        "Registering, logging in, and the caller's own account.",
        (REGISTRATION, LOGIN, LOGOUT, *PROFILE),
    ),
)
