"""The responses of the service match its API description."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from flask import Response, abort

from tests.support.conformance import IN_WORDS, JSON, close, conform
from tests.support.engine import FakeEngine
from tests.support.paths import DATA
from tests.support.service import Service
from tests.support.world import World
from whisper_service.errors import ServiceError
from whisper_service.tables import User
from whisper_service.web import auth, params, serializers


@pytest.fixture
def world(service: Service, tmp_path: Path) -> Any:
    world = World(service, tmp_path)
    yield world
    world.close()


def test_a_transcription_matches_the_description_in_every_status(
    service: Service, document: JSON
) -> None:
    ann = service.register()
    (file,) = ann.upload(DATA / "austen-0880.wav")
    order = {"uuid": file["uuid"], "model": "ggml-tiny.en", "word_timestamps": True}
    uuid = ann.post("/transcribe", order)["transcriptions"][0]["uuid"]
    seen: list[JSON] = []
    look = lambda: seen.append(service.anyone.get(f"/transcribe/{uuid}"))  # noqa: E731
    look()
    service.convert_once()
    service.transcribe(FakeEngine(look))
    look()
    uuid = ann.post("/transcribe", {**order, "language": "en"})["transcriptions"][0]["uuid"]
    ann.call("DELETE", f"/file/{file['uuid']}")
    look()
    statuses = [answer["status"] for answer in seen]
    assert statuses == ["pending", "processing", "completed", "failed"]
    close(document)
    reference = {"$ref": "#/components/schemas/Transcription", "components": document["components"]}
    for answer in seen:
        jsonschema_rs.validate(reference, answer)
        for name in answer:
            less = {key: value for key, value in answer.items() if key != name}
            assert not jsonschema_rs.is_valid(reference, less), name
            assert not jsonschema_rs.is_valid(reference, {**answer, "more": 1})


@pytest.mark.parametrize("requests", [4, pytest.param(60, marks=pytest.mark.torture)])
def test_all_answers_match_the_description(world: World, requests: int) -> None:
    """Valid and invalid requests are sent to each operation."""
    statuses = conform(world, requests)
    # What is sent comes far. Only where more is wanted than a schema can say may all be refused.
    refused = {name for (name, valid), seen in statuses.items() if valid and min(seen) >= 400}
    assert {name.removesuffix("AtPlural") for name in refused} < IN_WORDS.keys()
    assert len(refused) <= len(IN_WORDS) / 2
    assert all(max(seen) >= 400 for (_, valid), seen in statuses.items() if not valid)


def refuse(status: int) -> Any:
    raise ServiceError("no", status)


# What is broken, where it shows, and what to put there instead.
FAULTS: dict[str, tuple[str, object, str, Callable[..., Any]]] = {
    "a field too many": ("listFiles", serializers, "file", lambda row: {**FILE(row), "x": 1}),
    "a field too few": ("listFiles", serializers, "pagination", lambda page: {"page": 1}),
    "a time of another form": ("getUser", serializers, "timestamp", str),
    "an unknown status": ("listModels", params, "flag", lambda _: refuse(418)),
    "a failure": ("listModels", params, "flag", lambda _: 1 / 0),
    "nonsense is taken": ("listFiles", params, "page", lambda: (1, 10)),
    "sense is refused": ("listFiles", params, "page", lambda: refuse(400)),
    "nobody is let in": ("getUser", auth, "authenticate", lambda *_: (User.get(), None)),
    "another content type": ("listModels", params, "flag", lambda _: abort(Response("no", 400))),
}
FILE = serializers.file


@pytest.mark.torture
def test_the_test_detects_answers_that_break_the_description(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fault, (name, module, attribute, broken) in FAULTS.items():
        with monkeypatch.context() as patch:
            patch.setattr(module, attribute, broken)
            with pytest.raises(AssertionError):
                conform(world, 20, name)
                pytest.fail(fault)
