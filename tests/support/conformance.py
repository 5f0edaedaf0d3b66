"""Requests made from the document, and whether their answers are what it says."""

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tests.support.harness import SEED
from tests.support.service import PASSWORD
from tests.support.world import OTHER, RECORDING, World
from whisper_service.web import docs

JSON = dict[str, Any]
# Where the document tells in words what a schema cannot: valid data may be refused there.
IN_WORDS = {
    "register": "kinds of characters in a password",
    "updateUser": "at least one field; a new password wants the old one; a picture that is one",
    "updateAnyUser": "at least one field, with at most 6 decimal places",
    "issueApiKey": "more than spaces",
    "renameFile": "more than what is unsafe to show",
    "correctTranscription": "times in order, within the recording; text with more than spaces",
    "createUpload": "names in base64",
    "appendToUpload": "as many bytes as were received, and a hash",
    "postToUpload": "as many bytes as were received",
    "orderTranscriptions": "what the model knows, and at most 6 decimal places",
    "getTranscription": "max_line_count needs max_line_width",
    "streamTranscription": "max_line_count needs max_line_width",
    "createWebhook": "a URL with a host and a port that are valid",
    "createTranscription": "a file that is a recording, and what the model knows",
    "asr": "a file that is a recording, and what the model knows",
    "detectLanguage": "a file that is a recording",
    "createTranslation": "a file that is a recording, and what the model knows",
}
REJECTIONS = ["400", "401", "403", "404", "405", "409", "410", "412", "413", "415", "429"]
CONFIG = {
    "generation": {"allow-x00": False},
    "checks": {"negative_data_rejection": {"expected-statuses": REJECTIONS}},
}

schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")


def walk(part: Any) -> Iterator[JSON]:
    """Find all objects in a part of the document."""
    if isinstance(part, dict):
        yield part
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from walk(inner)


def resolve(document: JSON, reference: str) -> Any:
    found: Any = document
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return found


def inlined(document: JSON) -> JSON:
    """Return a copy in which only schemas are still referred to."""

    def copy(part: Any) -> Any:
        if isinstance(part, list):
            return [copy(inner) for inner in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part and "/schemas/" not in part["$ref"]:
            return copy(resolve(document, part["$ref"]))
        return {name: copy(inner) for name, inner in part.items()}

    return copy(document)


def operations(document: JSON) -> list[JSON]:
    return [operation for item in document["paths"].values() for operation in item.values()]


def schemas(document: JSON, part: Any) -> Iterator[JSON]:
    """Find all objects in a part of the document and in the schemas that it refers to."""
    for found in walk(part):
        yield found
        if "$ref" in found:
            yield from schemas(document, resolve(document, found["$ref"]))


def bodies(document: JSON) -> list[JSON]:
    """Find the schemas of all request bodies."""
    return list(schemas(document, [item.get("requestBody") for item in operations(document)]))


def close(document: JSON) -> None:
    """Allow no undocumented fields in responses.

    An object is closed where it is referred to, because in `allOf` it has to stay open.
    """
    asked = [id(schema) for schema in bodies(document)]
    answers = [operation["responses"] for operation in operations(document)]
    components = document["components"]["schemas"]
    found = [item for item in walk([components, answers]) if id(item) not in asked]
    for schema in found:
        target = resolve(document, schema["$ref"]) if "$ref" in schema else schema
        if target.keys() & {"properties", "allOf"}:
            schema["unevaluatedProperties"] = False
    for schema in [
        *components.values(),
        *(part for item in found for part in item.get("allOf", ())),
    ]:
        schema.pop("unevaluatedProperties", None)


def ground(document: JSON, world: World) -> None:
    """Put what there is in the place of what is generated, so that valid requests come far."""
    fields: JSON = {
        "uuid": world.files,
        "model": ["ggml-tiny.en"],
        "language": ["auto", "en"],
        "translate": [False],
        "username": ["ann", "fresh"],
        "password": [PASSWORD],
        "new_password": [f"New-{PASSWORD}"],
        "old_password": [PASSWORD],
        "session_id": world.sessions,
        "price_multiplier": [0.5],
        "revision": [0],
        "url": ["https://example.org/new", "http://8.8.8.8:8080/?a=b"],
        "segments": [[], [{"start": 0, "end": 0.5, "text": "Hello"}]],
        "temperature": [0.5],
    }
    for record in bodies(document):
        properties = record.get("properties", {})
        for name in fields.keys() & properties.keys():
            properties[name] = {"enum": fields[name]}
    known = {**world.uuids, "name": fields["model"], "asset": ["swagger-ui.css", "index.html"]}
    known["getTranscription"] = known["transcribe"] + world.files
    for path, item in document["paths"].items():
        for operation in item.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path":
                    word = path.partition("/{")[0].rpartition("/")[2].rstrip("s")
                    names = (operation["operationId"], parameter["name"], word)
                    found = next(known[name] for name in names if name in known)
                    parameter["schema"] = {"enum": found}


def conform(world: World, number: int, only: str = "") -> dict[tuple[str, bool], list[int]]:
    """Send `number` valid and as many invalid requests to each operation; return the statuses.

    Their keys are an operation and whether its requests were valid. Whoever waits for a
    transcription finds that it was done meanwhile.
    """
    worker: Any = world.service.worker
    worker.changes.wait_for_change = lambda _seconds: world.service.work() or True
    contents = [b"junk", world.picture, OTHER, RECORDING]
    schemathesis.openapi.format("binary", st.sampled_from(contents))
    statuses: dict[tuple[str, bool], list[int]] = {}
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
        for result in _schema(world, mode).get_all_operations():
            operation = result.ok()
            name = operation.definition.raw["operationId"]
            if only in {"", name} and (mode.is_positive or _can_be_invalid(operation)):
                statuses[name, mode.is_positive] = _attack(world, operation, mode, number)
    return statuses


def _schema(world: World, mode: GenerationMode) -> Any:
    written = inlined(docs.document(world.service.settings))
    close(written)
    if mode.is_positive:
        ground(written, world)
    schema = schemathesis.openapi.from_dict(written, config=SchemathesisConfig.from_dict(CONFIG))
    schema.app = _whole(world)
    return schema


def _can_be_invalid(operation: APIOperation) -> bool:
    """Return whether an operation takes anything that is more than any text."""
    raw = operation.definition.raw
    asked = [parameter["schema"] for parameter in raw.get("parameters", ())]
    return "requestBody" in raw or any(
        schema.get("type") != "string" and not schema.get("$ref", "").endswith("/NonEmptyText")
        for schema in asked
    )


def _attack(world: World, operation: APIOperation, mode: GenerationMode, number: int) -> list[int]:
    statuses = []

    @seed(SEED + zlib.crc32(f"{operation.label} {mode}".encode()))
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def answers_as_written(case: Case) -> None:
        try:
            statuses.append(_checked(world, operation, case))
        finally:
            if operation.method != "get" or "transcribe" in operation.path:
                world.put_back()

    answers_as_written()
    return statuses


def _checked(world: World, operation: APIOperation, case: Case) -> int:
    name = operation.definition.raw["operationId"].removesuffix("AtPlural")
    headers = {"Authorization": _caller(world, operation)}
    left = [positive_data_acceptance] if name in IN_WORDS else []
    if (name, case.media_type) == ("updateUser", "multipart/form-data"):
        left.append(negative_data_rejection)  # all fields of a form are text: "false" is a username
    try:
        return case.call_and_validate(headers=headers, excluded_checks=left).status_code
    except FailureGroup as failures:
        found = "\n".join(str(failure) for failure in failures.exceptions)
        raise AssertionError(f"{case.as_curl_command()}\n{found}") from failures


def _caller(world: World, operation: APIOperation) -> str:
    by_tag = {"Administration": world.admin, "Accounts": world.ann}
    caller = by_tag.get(operation.definition.raw["tags"][0], world.key)
    assert caller.authorization
    return caller.authorization


def _whole(world: World) -> Callable[[JSON, Any], list[bytes]]:
    """Read answers to their end and close them, as a server does."""

    def application(environ: JSON, start_response: Any) -> list[bytes]:
        environ["REMOTE_ADDR"] = "127.0.0.1"
        answer: Any = world.app.wsgi_app(environ, start_response)
        try:
            return list(answer)
        finally:
            environ["wsgi.input"].close()  # a file, when the body is large
            if hasattr(answer, "close"):
                answer.close()

    return application
