"""/openapi.json agrees with the routes, limits, errors and settings of the service."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from schemathesis.core.errors import SchemathesisError
from werkzeug.http import HTTP_STATUS_CODES

import whisper_service
from tests.support.conformance import JSON, inlined, operations, resolve, walk
from tests.support.service import Service
from whisper_service import billing
from whisper_service.accounts import passwords, users
from whisper_service.files import filenames
from whisper_service.transcripts import formats
from whisper_service.web import admin, asr, params, transcriptions
from whisper_service.web.asr import query
from whisper_service.web.openai import form
from whisper_service.webhooks import delivery, outbox, urls
from whisper_service.whisper import languages, options

OTHER_WORDS = ("address_not_allowed", "internal_error")
# Where the document repeats a constant of the code.
CONSTANTS: JSON = {
    "parameters/Page/schema/maximum": params.MAX_PAGE,
    "parameters/Limit/schema/maximum": params.MAX_LIMIT,
    "parameters/MaxLineWidth/schema/maximum": transcriptions.MAX_LINE_WIDTH,
    "parameters/MaxLineCount/schema/maximum": transcriptions.MAX_LINE_COUNT,
    "schemas/Pagination/properties/limit/maximum": params.MAX_LIMIT,
    "schemas/Username/pattern": f"^[A-Za-z0-9_-]{{3,{users.MAX_USERNAME}}}$",
    "schemas/NewPassword/maxLength": passwords.MAX_LENGTH,
    "schemas/TokenBalance/maximum": billing.MAX_BALANCE,
    "schemas/PriceMultiplier/maximum": admin.MAX_MULTIPLIER,
    "schemas/NewFilename/properties/filename/maxLength": filenames.MAX_LENGTH,
    "schemas/WebhookUrl/maxLength": urls.MAX_LENGTH,
    "schemas/WebhookError/enum": [*dict.fromkeys(delivery.WORDS.values()), *OTHER_WORDS, None],
    "schemas/ShownWebhook/properties/attempts/maxItems": outbox.MAX_ATTEMPTS,
    "schemas/Language/enum": ["auto", *sorted(languages.CODES)],
    "schemas/Format/enum": list(formats.FORMATS),
    "schemas/OrderedFormat/enum": list(formats.ORDERED),
    "schemas/Order/properties/prompt/maxLength": options.MAX_PROMPT,
    "schemas/Order/properties/temperature/maximum": options.MAX_TEMPERATURE,
    "schemas/OpenAiTranscriptionForm/properties/temperature/maximum": options.MAX_TEMPERATURE,
    "schemas/OpenAiTranslationForm/properties/temperature/maximum": options.MAX_TEMPERATURE,
    "schemas/OpenAiTranscriptionForm/properties/model/examples": ["whisper-1"],
    "schemas/OpenAiResponseFormat/enum": list(form.RESPONSE_FORMATS),
    "schemas/OpenAiPrompt/description": (
        f"Only the last {options.MAX_PROMPT} characters are used."
    ),
}


def test_the_description_is_valid_openapi(document: JSON) -> None:
    check_form(document)


def check_form(document: JSON) -> None:
    assert document["openapi"].startswith("3.1.")
    schemathesis.openapi.from_dict(document).validate()
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    referenced = {found["$ref"] for found in walk(document) if "$ref" in found}
    assert referenced == {
        f"#/components/{kind}/{name}"
        for kind, named in document["components"].items()
        for name in named
        if kind != "securitySchemes"
    }
    names = [operation["operationId"] for operation in operations(document)]
    assert len(names) == len(set(names))
    tags = {tag["name"] for tag in document["tags"]}
    assert {tag for operation in operations(document) for tag in operation["tags"]} == tags


@pytest.mark.torture
@pytest.mark.parametrize("name", ["getUser", "Uuid"])
def test_the_test_detects_an_invalid_document(document: JSON, name: str) -> None:
    broken = json.loads(json.dumps(document).replace(f'"{name}"', '"listFiles"'))
    with pytest.raises((AssertionError, SchemathesisError)):
        check_form(broken)


def examples(part: JSON) -> list[Any]:
    """Return the examples of a schema, which are a list, or of a media type: one, or several."""
    found = part.get("examples", [])
    if isinstance(found, dict):
        found = [example["value"] for example in found.values()]
    return [*found, *([part["example"]] if "example" in part else [])]


def test_the_examples_match_their_schemas(document: JSON) -> None:
    checked = 0
    for part in walk([inlined(document)["paths"], document["components"]["schemas"]]):
        schema = part.get("schema", part)
        for example in examples(part):
            jsonschema_rs.validate({**schema, "components": document["components"]}, example)
            checked += 1
    assert checked >= 200


def test_the_description_repeats_the_constants_of_the_code(document: JSON) -> None:
    assert {path: resolve(document, f"#/components/{path}") for path in CONSTANTS} == CONSTANTS


def test_a_transcription_has_the_limits_and_types_of_the_code(document: JSON) -> None:
    operation = inlined(document)["paths"]["/api/v1/transcribe/{uuid}"]["get"]
    maximum = {item["name"]: item["schema"].get("maximum") for item in operation["parameters"]}
    assert maximum["limit"] == params.MAX_LIMIT
    assert maximum["wait"] == transcriptions.MAX_WAIT
    types = {shown.content_type for shown in formats.FORMATS.values()}
    assert operation["responses"]["200"]["content"].keys() == types


def test_asr_has_the_choices_of_the_code(document: JSON) -> None:
    paths = inlined(document)["paths"]
    schemas = {each["name"]: each["schema"] for each in paths["/asr"]["post"]["parameters"]}
    assert tuple(schemas["output"]["enum"]) == query.OUTPUTS
    assert tuple(schemas["task"]["enum"]) == query.TASKS
    assert (schemas["output"]["default"], schemas["task"]["default"]) == ("txt", "transcribe")
    for path in asr.PATHS:
        below = [server["url"] for server in paths[path]["post"]["servers"]]
        assert below == ["/", f"{asr.KEY_PATH}/{{api_key}}"]


def sentences(document: JSON) -> set[str]:
    """Collect the examples of all error responses. Each of them has some."""
    found = set()
    for operation in operations(inlined(document)):
        for status, response in operation["responses"].items():
            for content in response.get("content", {}).values() if int(status) >= 400 else ():
                assert examples(content)
                found |= {
                    example if isinstance(example, str) else example["error"]["message"]
                    for example in examples(content)
                }
    return found


def patterns() -> Iterator[str]:
    """Return a regular expression for each text in the code that could be an error."""
    yield from map(re.escape, HTTP_STATUS_CODES.values())  # of Werkzeug's exceptions
    for path in Path(whisper_service.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            texts = [part.value if isinstance(part, ast.Constant) else None for part in parts]
            fixed = "".join(text for text in texts if isinstance(text, str))
            if len(fixed) >= 10:  # not "{} {}", which matches everything
                yield "".join(re.escape(text) if isinstance(text, str) else ".+" for text in texts)


def test_the_code_raises_every_error_of_the_description(document: JSON) -> None:
    found = sentences(document)
    assert len(found) >= 60
    raised = re.compile("|".join(set(patterns())))
    assert {sentence for sentence in found if not raised.fullmatch(sentence)} == set()
    assert not raised.fullmatch("An error that nothing raises")


def routes_of(document: JSON) -> set[str]:
    return {
        f"{method.upper()} {re.sub('{.*?}', '{}', path)}"
        for path, item in document["paths"].items()
        for method in item
    }


def routes_of_app(service: Service) -> set[str]:
    return {
        f"{method} {re.sub('<.*?>', '{}', rule.rule)}"
        for rule in service.client.application.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not rule.endpoint.startswith("page.")  # files for browsers, which are no API
    }


def test_the_description_has_every_route(document: JSON, service: Service) -> None:
    assert routes_of(document) == routes_of_app(service)


def test_only_plurals_are_deprecated(document: JSON) -> None:
    old = {
        path.partition("/{")[0]
        for path, item in document["paths"].items()
        if any(operation.get("deprecated") for operation in item.values())
    }
    assert old == {
        "/api/v1/files",
        "/api/v1/models",
        "/api/v1/uploads",
        "/api/v1/user/sessions",
        "/api/v1/user/tokens",
        "/api/v1/webhooks",
    }


def test_the_description_shows_the_settings(document: JSON, service: Service) -> None:
    auth = service.settings.auth
    password = document["components"]["schemas"]["NewPassword"]
    assert password["minLength"] == auth.password_min_length
    assert f"{auth.password_min_digits} digit(s)" in password["description"]
    files = document["components"]["schemas"]["Uploads"]["properties"]["file"]
    assert files["maxItems"] == service.settings.limits.files_per_request
