"""What the service tells of itself."""

from whisper_service.web.reference.notation import (
    ANYONE,
    JSON,
    TEXT,
    Group,
    Operation,
    answer,
    content,
    header,
    in_path,
    record,
    told,
)
from whisper_service.web.reference.schemas import GIVEN_TEXT, STRING

SERVICE = (
    Operation(
        "GET /api/v1/health",
        "getHealth",
        "Whether the service is well",
        told(record({"status": {"const": "ok"}}), {"status": "ok"}),
        ANYONE,
        errors={503: ("The worker is stuck", "An engine is stuck")},
    ),
    Operation(
        "GET /metrics",
        "getMetrics",
        "Figures for Prometheus",
        {200: answer("Prometheus' text format", {TEXT: content(STRING)})},
        ANYONE,
        "For requests from the same machine, by its name `localhost` or a loopback address and "
        "not through a proxy, unless the configuration lets everybody ask.",
        errors={404: ("Not Found",)},
    ),
    Operation(
        "GET /openapi.json",
        "getDocument",
        "This document",
        {200: answer("OpenAPI 3.1", {JSON: content({"type": "object"})})},
        ANYONE,
    ),
    Operation(
        "GET /docs",
        "findDocs",
        "Where the page with this document is",
        {308: {"description": "At /docs/", "headers": {"Location": header("/docs/")}}},
        ANYONE,
    ),
    Operation(
        "GET /docs/",
        "getDocs",
        "This document as a page",
        {200: answer("Swagger UI", {"text/html": content(STRING)})},
        ANYONE,
    ),
    Operation(
        "GET /docs/{asset}",
        "getDocsAsset",
        "A part of that page",
        {
            200: answer("A script, a style sheet, a picture", {"*/*": {}}),
            304: {"description": "Unchanged"},
        },
        ANYONE,
        parameters=(in_path("asset", {**GIVEN_TEXT, "examples": ["swagger-ui.css"]}),),
        errors={404: ("Not Found",)},
    ),
)

GROUPS = (Group("Service", "What the service tells of itself.", SERVICE),)
