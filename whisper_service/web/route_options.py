"""What the server has to know about a route before the body of a request arrives."""

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar

from flask import Flask
from werkzeug.exceptions import HTTPException

from whisper_service.config import Config
from whisper_service.files.storage import Storage
from whisper_service.tables import User

View = TypeVar("View", bound=Callable[..., object])
# Takes the configuration and a body's Content-Length (0 if it is chunked). Returns how many bytes
# the body may have, or raises the ServiceError that refuses it.
FormLimit = Callable[[Config, int], int]
_ATTRIBUTE = "route_options"


class Pool(StrEnum):
    """The threads that serve a request. All but SHORT are for work that holds a thread."""

    SHORT = "short"
    UPLOAD = "upload"  # writes files to disk and probes them
    REGISTRATION = "registration"  # hashes a password: a quarter of a second on one core
    CREDENTIALS = "credentials"  # checks a password, which takes as long
    SPEECH = "speech"  # waits until a transcription has ended
    LANGUAGE = "language"  # waits until a language is detected, which takes seconds


@dataclass(frozen=True)
class RequestHead:
    """The request line and headers. Header names are as in WSGI, without HTTP_.

    `length` is the Content-Length; 0 without a body and for a chunked one.
    """

    method: str
    path: str
    headers: MutableMapping[str, str]
    has_body: bool
    length: int


class BodyReceiver(Protocol):
    """Receives a body as it arrives, instead of memory and a temporary file.

    It is the application's input, which is empty. `write` may raise a ServiceError, which becomes
    the response.
    """

    def write(self, data: bytes, /) -> None: ...

    def read(self, size: int = -1, /) -> bytes: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Body:
    """How many bytes a body may have, and what receives it, if the application doesn't."""

    max_bytes: int
    receiver: BodyReceiver | None = None


# Raises the ServiceError that refuses the body.
OpenBody = Callable[[RequestHead, User, Config, Storage], Body]


@dataclass(frozen=True)
class RouteOptions:
    """`form_limit` is for routes that take a multipart form with files, from users only.

    `max_json_bytes` is for those that take more JSON than others, and `open_body` for those that
    decide by the head what becomes of the body, from users only as well.
    """

    pool: Pool = Pool.SHORT
    form_limit: FormLimit | None = None
    max_json_bytes: int | None = None
    open_body: OpenBody | None = None

    @property
    def takes_small_bodies(self) -> bool:
        """Return whether a body of the default size is all that the route takes."""
        return not (self.form_limit or self.max_json_bytes or self.open_body)


def route_options(
    pool: Pool = Pool.SHORT,
    form_limit: FormLimit | None = None,
    *,
    max_json_bytes: int | None = None,
    open_body: OpenBody | None = None,
) -> Callable[[View], View]:
    """Set the options of a view; one without this decorator has the defaults."""

    def decorate(view: View) -> View:
        setattr(view, _ATTRIBUTE, RouteOptions(pool, form_limit, max_json_bytes, open_body))
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
