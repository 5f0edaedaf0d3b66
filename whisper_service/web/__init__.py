"""The HTTP interface: `create_app` lists its whole wiring, top to bottom."""

from typing import cast

from flask import Flask, Response
from flask.json.provider import DefaultJSONProvider

from whisper_service.db import database
from whisper_service.web import (
    admin,
    api_tokens,
    auth,
    errors,
    files,
    health,
    models,
    request_log,
    transcriptions,
    users,
)
from whisper_service.web.services import Services

PREFIX = "/api/v1"
# Of every body but an upload's; a form's text fields and all JSON stay far below.
MAX_BODY_BYTES = 64 * 1024

# Who may call what. A blueprint without a line here does not exist.
BLUEPRINTS = (
    (health.public, auth.anyone),
    (users.public, auth.anyone),
    (users.private, auth.user),
    (api_tokens.private, auth.user),
    (files.public, auth.anyone),
    (files.private, auth.user),
    (models.private, auth.user),
    (transcriptions.public, auth.anyone),
    (transcriptions.private, auth.user),
    (admin.private, auth.admin),
)


def create_app(services: Services) -> Flask:
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # Flask's answer says that it is HTML,
    app.url_map.merge_slashes = False  # and its redirection is
    json = cast("DefaultJSONProvider", app.json)
    json.sort_keys = False
    json.ensure_ascii = False
    app.extensions["services"] = services
    request_log.register(app)
    app.before_request(_connect)
    app.after_request(_say_what_it_is)
    errors.register(app)
    auth.register(app, {blueprint.name: policy for blueprint, policy in BLUEPRINTS})
    for blueprint, _ in BLUEPRINTS:
        app.register_blueprint(blueprint, url_prefix=PREFIX)
    return app


def _say_what_it_is(response: Response) -> Response:
    """Keep browsers from guessing a type other than the one that is sent."""
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _connect() -> None:
    """Open the thread's connection. It stays: the server's threads are few and live long."""
    database.connect(reuse_if_open=True)
