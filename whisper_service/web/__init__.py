"""The HTTP interface: `create_app` lists its whole wiring, top to bottom."""

from typing import cast

from flask import Flask, Response
from flask.json.provider import DefaultJSONProvider

from whisper_service.db import database
from whisper_service.web import (
    admin,
    api_keys,
    auth,
    cors,
    docs,
    errors,
    files,
    health,
    metrics,
    models,
    openai,
    request_log,
    transcriptions,
    users,
)
from whisper_service.web.errors import OPENAI_PREFIX
from whisper_service.web.services import Services

PREFIX = "/api/v1"
# Of every body but an upload's; a form's text fields and all JSON stay far below.
MAX_BODY_BYTES = 64 * 1024

# Who may call what, and where. A blueprint without a line here does not exist.
BLUEPRINTS = (
    (health.public, PREFIX, auth.anyone),
    (users.public, PREFIX, auth.anyone),
    (users.private, PREFIX, auth.user),
    (api_keys.private, PREFIX, auth.user),
    (files.public, PREFIX, auth.anyone),
    (files.private, PREFIX, auth.user),
    (models.private, PREFIX, auth.user),
    (transcriptions.public, PREFIX, auth.anyone),
    (transcriptions.private, PREFIX, auth.user),
    (admin.private, PREFIX, auth.admin),
    (openai.private, OPENAI_PREFIX, auth.user),
    (metrics.public, "", auth.anyone),
    (docs.public, "", auth.anyone),
    (docs.page, docs.PAGE, auth.anyone),
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
    cors.register(app)
    app.before_request(_connect)
    app.after_request(_say_what_it_is)
    errors.register(app)
    auth.register(app, {blueprint.name: policy for blueprint, _, policy in BLUEPRINTS})
    for blueprint, prefix, _ in BLUEPRINTS:
        app.register_blueprint(blueprint, url_prefix=prefix)
    return app


def _say_what_it_is(response: Response) -> Response:
    """Keep browsers from guessing a type other than the one that is sent."""
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _connect() -> None:
    """Open the thread's connection. It stays: the server's threads are few and live long."""
    database.connect(reuse_if_open=True)
