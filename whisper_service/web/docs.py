"""The interface's own description: as a document for programs, and as a page for people.

The page is Swagger UI, with all of its parts out of a package, so that it works without a net.
"""

import base64
import hashlib
import re

from flask import Blueprint, Response, jsonify
from flask_swagger_ui import get_swaggerui_blueprint

from whisper_service.web import reference
from whisper_service.web.services import services

PAGE = "/docs"
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)
# What a try-out downloads is shown from memory.
_POLICY = (
    "default-src 'none'; script-src 'self' {scripts}; style-src 'self'; "
    "img-src 'self' data: blob:; media-src blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)

public = Blueprint("docs", __name__)
page: Blueprint = get_swaggerui_blueprint(
    PAGE,
    "../openapi.json",
    config={
        "app_name": "Whisper transcription service",
        "layout": "BaseLayout",  # without a field for the addresses of others' documents
        "validatorUrl": None,  # or the browser would show the document to a service elsewhere
        "oauth2RedirectUrl": None,  # or it is made of what the Host header says
        "docExpansion": "none",
        "persistAuthorization": False,
    },
    blueprint_name="docs_page",
)


@public.get("/openapi.json")
def document() -> Response:
    return jsonify(reference.document(services().config))


@public.get(PAGE)
def to_page() -> Response:
    return Response(status=308, headers={"Location": f"{PAGE}/"}, mimetype="text/plain")


@page.after_request
def _confine(response: Response) -> Response:
    """Let the page load nothing from elsewhere, and run no script but its own."""
    is_page = response.mimetype == "text/html" and not response.direct_passthrough
    inline = _INLINE.findall(response.get_data(as_text=True)) if is_page else []
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in inline)
    scripts = " ".join(f"'sha256-{digest.decode()}'" for digest in hashes)
    response.headers["Content-Security-Policy"] = _POLICY.format(scripts=scripts)
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
