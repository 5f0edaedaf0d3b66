"""The description of the API: as an OpenAPI document, and as a page.

The page is Swagger UI, served entirely from a package, so that it works offline.
"""

import base64
import hashlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from flask import Blueprint, Response, jsonify
from flask_swagger_ui import get_swaggerui_blueprint

from whisper_service.config import AuthSettings, Config
from whisper_service.web.services import services

DOCUMENT = Path(__file__).with_name("openapi.yaml")
PAGE = "/docs"
# Paths that are also accepted in the plural, alone and before an id.
PLURALS = {
    "/api/v1/user/token": "/api/v1/user/tokens",
    "/api/v1/user/session": "/api/v1/user/sessions",
    "/api/v1/file": "/api/v1/files",
    "/api/v1/upload": "/api/v1/uploads",
    "/api/v1/model": "/api/v1/models",
    "/api/v1/webhook": "/api/v1/webhooks",
}
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)
# "Try it out" shows downloads as blobs.
_POLICY = (
    "default-src 'none'; script-src 'self' {scripts}; style-src 'self'; "
    "img-src 'self' data: blob:; media-src blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)

JSON = dict[str, Any]
public = Blueprint("docs", __name__)
page: Blueprint = get_swaggerui_blueprint(
    PAGE,
    "../openapi.json",
    config={
        "app_name": "Whisper transcription service",
        "layout": "BaseLayout",  # without an input for the URLs of other documents
        "validatorUrl": None,  # or the browser would send the document to an online validator
        "oauth2RedirectUrl": None,  # or it would be built from the Host header
        "docExpansion": "none",
        "persistAuthorization": False,
    },
    blueprint_name="docs_page",
)


@cache
def document(config: Config) -> JSON:
    """Return the OpenAPI document of a service with these settings. Callers must not modify it."""
    document: JSON = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    schemas = document["components"]["schemas"]
    schemas["NewPassword"] |= _password_rules(config.auth)
    schemas["Uploads"]["properties"]["file"]["maxItems"] = config.limits.files_per_request
    parameters = document["components"]["parameters"]
    parameters["UploadLength"]["schema"]["maximum"] = config.storage.max_upload_bytes
    document["paths"] |= dict(_plural_paths(document["paths"]))
    return document


def _password_rules(auth: AuthSettings) -> JSON:
    required = (
        f"{auth.password_min_uppercase} uppercase letter(s), "
        f"{auth.password_min_lowercase} lowercase letter(s), "
        f"{auth.password_min_digits} digit(s) and "
        f"{auth.password_min_special} special character(s)"
    )
    return {
        "minLength": auth.password_min_length,
        "description": f"Must contain at least {required}.",
    }


def _plural_paths(paths: JSON) -> Iterator[tuple[str, JSON]]:
    for path, item in paths.items():
        for singular, plural in PLURALS.items():
            if path == singular or path.startswith(f"{singular}/"):
                aliases = {method: _alias(path, operation) for method, operation in item.items()}
                yield plural + path.removeprefix(singular), aliases


def _alias(path: str, operation: JSON) -> JSON:
    return operation | {
        "operationId": f"{operation['operationId']}AtPlural",
        "description": f"An alias of `{path}`.",
        "deprecated": True,
    }


@public.get("/openapi.json")
def openapi_json() -> Response:
    return jsonify(document(services().config))


@public.get(PAGE)
def redirect_to_page() -> Response:
    return Response(status=308, headers={"Location": f"{PAGE}/"}, mimetype="text/plain")


@page.after_request
def _add_security_headers(response: Response) -> Response:
    """Allow the page to load only its own files and to run only its own scripts."""
    is_page = response.mimetype == "text/html" and not response.direct_passthrough
    inline = _INLINE.findall(response.get_data(as_text=True)) if is_page else []
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in inline)
    scripts = " ".join(f"'sha256-{digest.decode()}'" for digest in hashes)
    response.headers["Content-Security-Policy"] = _POLICY.format(scripts=scripts)
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
