"""A short way to write down what OpenAPI wants to be told of an operation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from whisper_service.web.params import MAX_LIMIT, MAX_PAGE

JSON = "application/json"
FORM = "multipart/form-data"
FORM_ERRORS = (
    "Files must be sent as multipart/form-data",
    "At most 20 files can be uploaded at once",
)
TEXT = "text/plain"
ANYONE, USER, SESSION, ADMIN = "anyone", "user", "session", "admin"

# Of OpenAPI's own: a schema, a parameter, a request's body, an answer.
Schema = dict[str, Any]
Parameter = dict[str, Any]
Content = dict[str, Any]
Errors = Mapping[int, Sequence[str]]


@dataclass(frozen=True)
class Operation:
    """One method of one path. `name` is what generated clients call it.

    `answers` are those that are no errors; `errors` are the texts that it may answer with, by their
    status, besides those that many operations share.
    """

    route: str
    name: str
    summary: str
    answers: Mapping[int, Schema]
    who: str = USER
    about: str = ""
    parameters: Sequence[Parameter] = ()
    body: Schema | None = None
    errors: Errors = field(default_factory=dict)

    @property
    def method(self) -> str:
        return self.route.split()[0]

    @property
    def path(self) -> str:
        return self.route.split()[1]


@dataclass(frozen=True)
class Group:
    """Operations that belong together; `error_type` is what their errors are told in."""

    tag: str
    about: str
    operations: Sequence[Operation]
    error_type: str = TEXT


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def record(fields: Mapping[str, Schema], may_have: Mapping[str, Schema] | None = None) -> Schema:
    """Describe an object that has all of `fields`, and at times what it `may_have`."""
    properties = dict(fields) | dict(may_have or {})
    required = {"required": list(fields)} if fields else {}
    return {"type": "object", "properties": properties, **required}


def listed(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def told(schema: Schema, example: object = None) -> dict[int, Schema]:
    """Describe the answer of an operation that has one, in JSON."""
    return {200: answer("What was asked for", {JSON: content(schema, example)})}


def answer(about: str, contents: Mapping[str, Content], **more: Schema) -> Schema:
    return {"description": about, "content": dict(contents), **more}


def content(schema: Schema, example: object = None) -> Content:
    return {"schema": schema} | ({} if example is None else {"example": example})


def body(schema: Schema, example: object, *, required: bool = True) -> Schema:
    return {"required": required, "content": {JSON: content(schema, example)}}


def in_path(name: str, schema: Schema) -> Parameter:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def in_query(name: str, schema: Schema, about: str) -> Parameter:
    return {"name": name, "in": "query", "schema": schema, "description": about}


def in_header(name: str, about: str) -> Parameter:
    return {"name": name, "in": "header", "schema": {"type": "string"}, "description": about}


def header(about: str, kind: str = "string") -> Schema:
    return {"description": about, "schema": {"type": kind}}


BY_UUID = in_path("uuid", ref("AnyUuid"))
SWITCH: Schema = {"enum": ["true", "false", "1", "0"], "default": "false"}


def page_of(default_limit: int) -> tuple[Parameter, Parameter]:
    """Describe the parameters of a list."""
    return (
        in_query(
            "page", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": 1}, "From 1."
        ),
        in_query(
            "limit",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": default_limit},
            "Rows.",
        ),
    )


PAGE = page_of(10)
PAGE_ERRORS = (
    "page must be a positive integer",
    f"limit must be an integer between 1 and {MAX_LIMIT}",
)


def operation(described: Operation, group: Group) -> Schema:
    """Write an operation down as OpenAPI has it."""
    errors = {**_shared_errors(described)}
    for status, texts in described.errors.items():
        errors[status] = [*texts, *errors.get(status, ())]
    answers = dict(described.answers) | {
        status: _error(status, errors[status], group.error_type) for status in sorted(errors)
    }
    written: Schema = {
        "operationId": described.name,
        "tags": [group.tag],
        "summary": described.summary,
        "description": described.about,
        "parameters": list(described.parameters),
        "requestBody": described.body,
        "responses": {str(status): what for status, what in answers.items()},
    }
    written = {name: value for name, value in written.items() if value}
    return written | {"security": SECURITY[described.who]}


SECURITY: dict[str, list[dict[str, list[str]]]] = {
    ANYONE: [],
    USER: [{"key": []}, {"session": []}],
    SESSION: [{"session": []}],
    ADMIN: [{"key": []}, {"session": []}],
}


def _shared_errors(described: Operation) -> dict[int, list[str]]:
    """List what is the same for all that have a body, that write, that want to know who asks."""
    errors = {500: ["Internal server error"]}
    if described.who != ANYONE:
        errors[401] = ["Missing valid Authorization header with session or API key"]
    if described.who == ADMIN:
        errors[403] = ["Access denied. Admin privileges required"]
    if described.method != "GET":
        errors[409] = ["The request conflicts with another one"]
        errors[507] = ["The server's disk is full"]
    if described.body:
        types = described.body["content"]
        errors[400] = ["Invalid JSON body" if JSON in types else "Invalid multipart body"]
        errors[400] += FORM_ERRORS if FORM in types else ()
        errors[413] = ["Request Entity Too Large"]
    if any(parameter["schema"] == ref("AnyUuid") for parameter in described.parameters):
        errors[400] = ["Invalid UUID format", *errors.get(400, ())]
    return errors


def _error(status: int, texts: Sequence[str], content_type: str) -> Schema:
    is_text = content_type == TEXT
    examples = {text: {"value": text if is_text else _openai(text)} for text in texts}
    schema = ref("Error" if is_text else "OpenAiError")
    headers = {"Retry-After": header("Seconds until it is worth another try", "integer")}
    return {
        "description": HTTPStatus(status).phrase,
        "content": {content_type: {"schema": schema, "examples": examples}},
        **({"headers": headers} if status == 429 else {}),
    }


def _openai(text: str) -> dict[str, object]:
    return {
        "error": {"message": text, "type": "invalid_request_error", "param": None, "code": None}
    }
