"""What the server has to know about a route before the body of a request arrives."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from flask import Flask
from werkzeug.exceptions import HTTPException

from whisper_service.config import Config

View = TypeVar("View", bound=Callable[..., object])
# Takes the configuration and a body's Content-Length (0 if it is chunked). Returns how many bytes
# the body may have, or raises the ServiceError that refuses it.
FormLimit = Callable[[Config, int], int]
_ATTRIBUTE = "route_options"


class Pool(StrEnum):
    """The threads that serve a request. All but SHORT are for work that holds a thread."""

    SHORT = "short"
    UPLOAD = "upload"  # writes a form's files to disk and probes them
    REGISTRATION = "registration"  # hashes a password: a quarter of a second on one core
    CREDENTIALS = "credentials"  # checks a password, which takes as long
    SPEECH = "speech"  # waits until a transcription has ended


@dataclass(frozen=True)
class RouteOptions:
    """`form_limit` is for routes that take a multipart form with files, from users only.

    `max_json_bytes` is for those that take more JSON than others, from users only.
    """

    pool: Pool = Pool.SHORT
    form_limit: FormLimit | None = None
    max_json_bytes: int | None = None


def route_options(
    pool: Pool = Pool.SHORT,
    form_limit: FormLimit | None = None,
    *,
    max_json_bytes: int | None = None,
) -> Callable[[View], View]:
    """Set the options of a view; one without this decorator has the defaults."""

    def decorate(view: View) -> View:
        setattr(view, _ATTRIBUTE, RouteOptions(pool, form_limit, max_json_bytes))
        return view

    return decorate


def find(app: Flask, method: str, path: str) -> RouteOptions:
    """Return the options of the view that a request is routed to, or else the defaults."""
    try:
        endpoint, _ = app.url_map.bind("localhost").match(path, method)
    except HTTPException:
        return RouteOptions()
    options: RouteOptions = getattr(app.view_functions[endpoint], _ATTRIBUTE, RouteOptions())
    return options
