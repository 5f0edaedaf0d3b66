"""Run something else in the middle of a request."""

from collections.abc import Callable
from typing import Any

import pytest


def after(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, act: Callable[[], object]
) -> None:
    """Call `act` after the next call of a function, before its caller goes on."""
    real = getattr(owner, name)

    def once(*arguments: Any, **more: Any) -> Any:
        monkeypatch.setattr(owner, name, real)
        result = real(*arguments, **more)
        act()
        return result

    monkeypatch.setattr(owner, name, once)
