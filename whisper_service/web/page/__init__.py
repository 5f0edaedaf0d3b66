"""The page for people at /: a few static files, which use the HTTP API and nothing else."""

from pathlib import Path, PurePath

from flask import Blueprint, Response, send_from_directory
from werkzeug.exceptions import NotFound

FILES = Path(__file__).with_name("static")
# By extension: the registry of the operating system may have others.
MEDIA_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "media-src 'self' blob:; img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

public = Blueprint("page", __name__)


@public.get("/")
def index() -> Response:
    return send_from_directory(FILES, "index.html", mimetype="text/html")


@public.get("/page/<path:name>")
def static_file(name: str) -> Response:
    media_type = MEDIA_TYPES.get(PurePath(name).suffix)
    if media_type is None:
        raise NotFound
    return send_from_directory(FILES, name, mimetype=media_type)


@public.after_request
def _add_headers(response: Response) -> Response:
    """Allow the page to load only its own files, and browsers to reuse only current ones."""
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-cache"
    return response
