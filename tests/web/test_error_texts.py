"""Each error that the API reference quotes, word for word."""

from typing import Any

import pytest

from tests.support.accounts import make_admin
from tests.support.paths import DATA
from tests.support.service import PASSWORD, Api, Service

NAME_RULES = (
    "Invalid username. Must be 3-20 characters and contain only "
    "alphanumeric characters, underscores, or hyphens"
)
UNKNOWN = "018c5f9a7b2e7a8c9d0e1f2a3b4c5d6e"
ANN = {"username": "ann", "password": PASSWORD}
FILE = {"uuid": "{file}", "model": "ggml-tiny.en"}

# caller, route, body, status, text; the part before an ellipsis in the reference
ERRORS: list[tuple[str, str, Any, int, str]] = [
    ("nobody", "POST /user/register", {**ANN, "username": "x"}, 400, NAME_RULES),
    (
        "nobody",
        "POST /user/register",
        {"username": "new", "password": "Short-9"},
        400,
        "Password must be at least 12 characters long",
    ),
    (
        "nobody",
        "POST /user/register",
        {"username": "new", "password": PASSWORD.lower()},
        400,
        "Password must contain at least 1 uppercase letter(s)",
    ),
    ("nobody", "POST /user/register", ANN, 409, "Username already exists"),
    ("nobody", "POST /user/login", {"password": PASSWORD}, 400, "Missing username"),
    ("nobody", "POST /user/login", {**ANN, "password": "no"}, 401, "Authentication failed"),
    (
        "key",
        "POST /user/logout",
        None,
        400,
        "Cannot logout with API key. Use session authentication",
    ),
    (
        "ann",
        "POST /user/logout",
        {"session_id": "{bobs session}"},
        403,
        "Cannot logout from another user's session",
    ),
    (
        "ann",
        "POST /user/logout",
        {"session_id": UNKNOWN},
        404,
        "Session not found or already ended",
    ),
    ("ann", "PATCH /user", {}, 400, "No fields to update"),
    (
        "ann",
        "PATCH /user",
        {"password": PASSWORD},
        400,
        "old_password is required to update password",
    ),
    (
        "ann",
        "PATCH /user",
        {"password": "Correct-Horse-10", "old_password": "no"},
        401,
        "Incorrect old password",
    ),
    ("ann", "PATCH /user", {"username": "BOB"}, 409, "Username already taken"),
    ("ann", "DELETE /user", None, 400, "Password is required to delete account"),
    ("ann", "DELETE /user", {"password": "no"}, 401, "Incorrect password"),
    (
        "root",
        "DELETE /user",
        {"password": PASSWORD},
        409,
        "The last administrator's account cannot be deleted. Make another administrator first",
    ),
    ("ann", "POST /user/token", {}, 400, "Missing 'name' field in request body"),
    (
        "ann",
        "POST /user/token",
        {"name": "x" * 256},
        400,
        "Token name must be between 1 and 255 characters",
    ),
    ("ann", "DELETE /user/token/xyz", None, 400, "Invalid token ID format"),
    ("ann", f"DELETE /user/token/{UNKNOWN}", None, 404, "Token not found or access denied"),
    ("nobody", "GET /file/xyz", None, 400, "Invalid UUID format"),
    ("nobody", f"GET /file/{UNKNOWN}", None, 404, "File not found or access denied"),
    ("ann", "PATCH /file/{file}", {}, 400, "Missing 'filename' field in request body"),
    (
        "ann",
        "PATCH /file/{file}",
        {"filename": ""},
        400,
        "Filename must be between 1 and 255 characters",
    ),
    (
        "ann",
        "PATCH /file/{file}",
        {"filename": "x" * 256},
        400,
        "Filename must be between 1 and 255 characters",
    ),
    (
        "ann",
        f"PATCH /file/{UNKNOWN}",
        {"filename": "x"},
        404,
        "File not found or access denied",
    ),
    ("ann", "DELETE /file/xyz", None, 400, "Invalid UUID format"),
    ("ann", f"DELETE /file/{UNKNOWN}", None, 404, "File not found or access denied"),
    ("ann", "POST /transcribe", {"model": "ggml-tiny.en"}, 400, "Missing file uuid"),
    (
        "ann",
        "POST /transcribe",
        {**FILE, "format": "txt"},
        400,
        "Invalid format: txt. Must be one of: verbose_json, srt, vtt",
    ),
    (
        "ann",
        "POST /transcribe",
        {**FILE, "format": []},
        400,
        "At least one format must be specified",
    ),
    (
        "ann",
        "POST /transcribe",
        {**FILE, "uuid": UNKNOWN},
        404,
        "File not found or access denied",
    ),
    ("nobody", "GET /transcribe/xyz", None, 400, "Invalid UUID format"),
    ("nobody", f"GET /transcribe/{UNKNOWN}", None, 404, "Transcription not found"),
    ("ann", "DELETE /transcribe/xyz", None, 400, "Invalid UUID format"),
    (
        "ann",
        f"DELETE /transcribe/{UNKNOWN}",
        None,
        404,
        "Transcription not found or access denied",
    ),
    ("ann", "GET /admin/users", None, 403, "Access denied. Admin privileges required"),
    (
        "ann",
        f"PATCH /admin/users/{UNKNOWN}",
        {"token_balance": 1},
        403,
        "Access denied. Admin privileges required",
    ),
    ("root", "PATCH /admin/users/xyz", {"token_balance": 1}, 400, "Invalid UUID format"),
    (
        "root",
        "PATCH /admin/users/{ann}",
        {"token_balance": 1.5},
        400,
        "token_balance must be an integer",
    ),
    (
        "root",
        "PATCH /admin/users/{ann}",
        {"price_multiplier": -1},
        400,
        "price_multiplier must be non-negative",
    ),
    (
        "root",
        "PATCH /admin/users/{ann}",
        {"price_multiplier": 1000.5},
        400,
        "price_multiplier must be at most 1000",
    ),
    ("root", "PATCH /admin/users/{ann}", {"other": 1}, 400, "No valid fields to update"),
    ("root", f"PATCH /admin/users/{UNKNOWN}", {"token_balance": 1}, 404, "User not found"),
    (
        "nobody",
        "GET /user",
        None,
        401,
        "Missing valid Authorization header with session or API key",
    ),
]
UNFINISHED = {"No fields to update", "No valid fields to update"}


@pytest.fixture
def callers(service: Service) -> dict[str, Api]:
    ann = service.register("ann")
    people = {"nobody": service.anyone, "ann": ann, "key": service.with_key(ann)}
    people |= {name: service.register(name) for name in ("bob", "root")}
    make_admin("root")
    return people


@pytest.mark.parametrize(("caller", "route", "body", "status", "text"), ERRORS)
def test_the_text_is_the_references(
    callers: dict[str, Api], caller: str, route: str, body: Any, status: int, text: str
) -> None:
    known = {"bobs session": callers["bob"].authorization.split()[1]}
    if "{file}" in f"{route}{body}":
        (file,) = callers["ann"].upload(DATA / "austen-0880.wav")
        known["file"] = file["uuid"]
    if "{ann}" in route:
        known["ann"] = callers["ann"].get("/user")["uuid"]
    for name, value in known.items():
        route = route.replace(f"{{{name}}}", value)
        if body:
            body = {key: value if item == f"{{{name}}}" else item for key, item in body.items()}
    said = callers[caller].error(*route.split(), status, body)
    assert said.startswith(text) if text in UNFINISHED else said == text


def test_the_texts_about_what_is_on_disk(service: Service, callers: dict[str, Api]) -> None:
    ann = callers["ann"]
    (file,) = ann.upload(DATA / "austen-0880.wav")
    service.storage.original(file["uuid"]).unlink()
    message = ann.error("GET", f"/file/{file['uuid']}", 404)
    assert message == "File not found on disk"
