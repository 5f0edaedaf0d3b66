"""The API description of a service."""

import json
from typing import Any

import pytest

from tests.support.service import Service


@pytest.fixture
def document(service: Service) -> dict[str, Any]:
    return json.loads(service.client.get("/openapi.json").text)
