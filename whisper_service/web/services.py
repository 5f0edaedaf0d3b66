"""What the routes need of the running service."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from flask import current_app

from whisper_service.config import Config
from whisper_service.storage import Storage


@dataclass(frozen=True)
class Services:
    """`wake` tells the worker that there is something new to do."""

    config: Config
    storage: Storage
    wake: Callable[[], None]


def services() -> Services:
    return cast("Services", current_app.extensions["services"])
