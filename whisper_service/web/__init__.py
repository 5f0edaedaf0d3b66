"""The HTTP API: `create_app` wires it together, top to bottom."""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import cast

from flask import Blueprint, Flask, Response
from flask.json.provider import DefaultJSONProvider

from whisper_service.db import database
from whisper_service.web import (
    admin,
    api_keys,
    asr,
    auth,
    corrections,
    cors,
    docs,
    errors,
    files,
    health,
    metrics,
    models,
    openai,
    page,
    request_log,
    resumable,
    search,
    transcriptions,
    users,
)
from whisper_service.web.errors import OPENAI_PREFIX
from whisper_service.web.services import Services

PREFIX = "/api/v1"
# The limit of every body but a form with files.
MAX_BODY_BYTES = 64 * 1024

# A blueprint with its URL prefix and who may call it.
Registration = tuple[Blueprint, str, Callable[[], None]]

BLUEPRINTS: tuple[Registration, ...] = (
    (health.public, PREFIX, auth.anyone),
    (users.public, PREFIX, auth.anyone),
    (users.private, PREFIX, auth.user),
    (api_keys.private, PREFIX, auth.user),
    (files.public, PREFIX, auth.anyone),
    (files.private, PREFIX, auth.user),
    (resumable.public, PREFIX, auth.anyone),
    (resumable.private, PREFIX, auth.user),
    (models.private, PREFIX, auth.user),
    (transcriptions.public, PREFIX, auth.anyone),
    (transcriptions.private, PREFIX, auth.user),
    (corrections.private, PREFIX, auth.user),
    (search.private, PREFIX, auth.user),
    (admin.private, PREFIX, auth.admin),
    (openai.private, OPENAI_PREFIX, auth.user),
    (asr.private, "", auth.user),
    (metrics.public, "", auth.anyone),
    (docs.public, "", auth.anyone),
    (docs.page, docs.PAGE, auth.anyone),
    (page.public, "", auth.anyone),
)


def create_app(services: Services, optional: Iterable[Registration] = ()) -> Flask:
    """Return the application. `optional` are the blueprints of rooms that are switched on."""
    blueprints = (*BLUEPRINTS, *optional)
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False  # Flask would label the response as HTML,
    app.url_map.merge_slashes = False  # and redirect with an HTML page
    json = cast("DefaultJSONProvider", app.json)
    json.sort_keys = False
    json.ensure_ascii = False
    app.extensions["services"] = services
    request_log.register(app)
    cors.register(app)
    app.before_request(_connect)
    app.after_request(_settle_content_type)
    errors.register(app)
    auth.register(app, {blueprint.name: policy for blueprint, _, policy in blueprints})
    for blueprint, prefix, _ in blueprints:
        app.register_blueprint(blueprint, url_prefix=prefix)
    return app


def _settle_content_type(response: Response) -> Response:
    """Keep browsers from guessing another content type. What has no content has no type."""
    response.headers["X-Content-Type-Options"] = "nosniff"
    if response.status_code == HTTPStatus.NO_CONTENT:
        response.headers.pop("Content-Type", None)
    return response


def _connect() -> None:
    """Open the thread's database connection, which stays open as long as the thread lives."""
    database.connect(reuse_if_open=True)
