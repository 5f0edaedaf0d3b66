"""Who may call what: a row for each route, a column for each kind of caller."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from urllib3.filepost import encode_multipart_formdata

from tests.support.accounts import make_admin
from tests.support.paths import DATA
from tests.support.pictures import PNG
from tests.support.service import PASSWORD, Api, Service, in_process, settings_in
from tests.support.tus import create, creation, piece
from whisper_service.config import Config

CALLERS = ("nobody", "session", "key", "other", "admin")
SPEECH = DATA / "austen-0880.wav"
# The files, transcriptions and keys in the paths belong to the user of `session` and `key`.
ROUTES = {
    "GET /health": (200, 200, 200, 200, 200),
    "POST /user/register": (200, 200, 200, 200, 200),
    "POST /user/login": (200, 200, 200, 200, 200),
    "POST /user/logout": (401, 200, 400, 200, 200),
    "GET /user": (401, 200, 200, 200, 200),
    "PATCH /user": (401, 200, 200, 200, 200),
    "DELETE /user": (401, 200, 200, 200, 409),
    "GET /user/avatar/{avatar}": (200, 200, 200, 200, 200),
    "GET /user/token": (401, 200, 200, 200, 200),
    "GET /user/tokens": (401, 200, 200, 200, 200),
    "POST /user/token": (401, 200, 200, 200, 200),
    "POST /user/tokens": (401, 200, 200, 200, 200),
    "DELETE /user/token/{token}": (401, 200, 200, 404, 404),
    "DELETE /user/tokens/{token}": (401, 200, 200, 404, 404),
    "GET /user/session": (401, 200, 200, 200, 200),
    "GET /user/sessions": (401, 200, 200, 200, 200),
    "POST /file": (401, 200, 200, 200, 200),
    "POST /files": (401, 200, 200, 200, 200),
    "GET /file": (401, 200, 200, 200, 200),
    "GET /files": (401, 200, 200, 200, 200),
    "GET /file/{file}": (200, 200, 200, 200, 200),
    "GET /files/{file}": (200, 200, 200, 200, 200),
    "PATCH /file/{file}": (401, 200, 200, 404, 404),
    "PATCH /files/{file}": (401, 200, 200, 404, 404),
    "DELETE /file/{file}": (401, 200, 200, 404, 404),
    "DELETE /files/{file}": (401, 200, 200, 404, 404),
    "POST /upload": (401, 201, 201, 201, 201),
    "POST /uploads": (401, 201, 201, 201, 201),
    "GET /upload/{upload}": (401, 200, 200, 404, 404),
    "GET /uploads/{upload}": (401, 200, 200, 404, 404),
    "PATCH /upload/{upload}": (401, 204, 204, 404, 404),
    "PATCH /uploads/{upload}": (401, 204, 204, 404, 404),
    "POST /upload/{upload}": (401, 204, 204, 404, 404),
    "POST /uploads/{upload}": (401, 204, 204, 404, 404),
    "DELETE /upload/{upload}": (401, 204, 204, 404, 404),
    "DELETE /uploads/{upload}": (401, 204, 204, 404, 404),
    "GET /webhook": (401, 200, 200, 200, 200),
    "GET /webhooks": (401, 200, 200, 200, 200),
    "POST /webhook": (401, 200, 200, 200, 200),
    "POST /webhooks": (401, 200, 200, 200, 200),
    "GET /webhook/{webhook}": (401, 200, 200, 404, 404),
    "GET /webhooks/{webhook}": (401, 200, 200, 404, 404),
    "PATCH /webhook/{webhook}": (401, 200, 200, 404, 404),
    "PATCH /webhooks/{webhook}": (401, 200, 200, 404, 404),
    "DELETE /webhook/{webhook}": (401, 200, 200, 404, 404),
    "DELETE /webhooks/{webhook}": (401, 200, 200, 404, 404),
    "POST /webhook/{webhook}/rotate": (401, 200, 200, 404, 404),
    "POST /webhooks/{webhook}/rotate": (401, 200, 200, 404, 404),
    "POST /webhook/{webhook}/test": (401, 200, 200, 404, 404),
    "POST /webhooks/{webhook}/test": (401, 200, 200, 404, 404),
    "GET /model": (401, 200, 200, 200, 200),
    "GET /models": (401, 200, 200, 200, 200),
    "POST /transcribe": (401, 200, 200, 404, 404),
    "GET /transcribe": (401, 200, 200, 200, 200),
    "PATCH /transcribe/{transcription}": (401, 409, 409, 404, 404),  # it is pending
    "GET /search": (401, 200, 200, 200, 200),
    "GET /transcribe/{transcription}": (200, 200, 200, 200, 200),
    "GET /transcribe/{transcription}/events": (200, 200, 200, 200, 200),
    "DELETE /transcribe/{transcription}": (401, 200, 200, 404, 404),
    "GET /admin/users": (401, 403, 403, 403, 200),
    "PATCH /admin/users/{user}": (401, 403, 403, 403, 200),
    "GET /admin/engines": (401, 403, 403, 403, 200),
    "GET /v1/models": (401, 200, 200, 200, 200),
    "GET /v1/models/{model}": (401, 200, 200, 200, 200),
    "POST /v1/audio/transcriptions": (401, 400, 400, 400, 400),  # without a file
    "POST /v1/audio/translations": (401, 400, 400, 400, 400),
    "POST /asr": (401, 400, 400, 400, 400),
    "POST /detect-language": (401, 400, 400, 400, 400),
    "GET /metrics": (200, 200, 200, 200, 200),
    "GET /openapi.json": (200, 200, 200, 200, 200),
    "GET /docs": (308, 308, 308, 308, 308),
    "GET /docs/": (200, 200, 200, 200, 200),
    "GET /docs/{asset}": (200, 200, 200, 200, 200),
}
# Not below /api/v1.
ELSEWHERE = ("/v1/", "/asr", "/detect-language", "/metrics", "/openapi.json", "/docs")
BODIES = {
    "POST /user/register": {"username": "newcomer", "password": PASSWORD},
    "POST /user/login": {"username": "ann", "password": PASSWORD},
    "PATCH /user": {"username": "renamed"},
    "DELETE /user": {"password": PASSWORD},
    "POST /user/token": {"name": "another"},
    "PATCH /file/{file}": {"filename": "renamed.wav"},
    "POST /transcribe": {"uuid": "{file}", "model": "ggml-tiny.en"},
    "PATCH /transcribe/{transcription}": {"segments": [], "revision": 0},
    "PATCH /admin/users/{user}": {"token_balance": 5},
    "POST /webhook": {"url": "https://example.org/another"},
    "PATCH /webhook/{webhook}": {"enabled": False},
}


@dataclass
class World:
    callers: dict[str, Api]
    names: dict[str, str]

    def fill(self, template: str) -> str:
        for name, uuid in self.names.items():
            template = template.replace(f"{{{name}}}", uuid)
        return template


@dataclass
class Template:
    """A storage folder with one of everything, made once, for a service of each test to change."""

    storage: Path
    authorizations: dict[str, str | None]
    names: dict[str, str]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, stub_models: Path) -> Template:
    settings = settings_in(tmp_path_factory.mktemp("template"), stub_models)
    with in_process(settings) as service:
        ann, other, root = (service.register(name) for name in ("ann", "other", "root"))
        make_admin("root")
        token = ann.post("/user/token", {"name": "key"})
        body, content_type = encode_multipart_formdata({"avatar": ("me.png", PNG)})
        ann.call("PATCH", "/user", data=body, content_type=content_type)
        (file,) = ann.upload(SPEECH)
        order = {"uuid": file["uuid"], "model": "ggml-tiny.en"}
        (transcription,) = ann.post("/transcribe", order)["transcriptions"]
        profile = ann.get("/user")
        upload = create(ann, 10)
        webhook = ann.post("/webhook", {"url": "https://example.org/"})
    key = replace(ann, authorization=f"Bearer {token['token']}")
    callers = zip(CALLERS, (service.anyone, ann, key, other, root), strict=True)
    return Template(
        settings.storage.path,
        {name: caller.authorization for name, caller in callers},
        {
            "token": token["token_id"],
            "upload": upload,
            "webhook": webhook["uuid"],
            "file": file["uuid"],
            "transcription": transcription["uuid"],
            "user": profile["uuid"],
            "avatar": profile["avatar_uuid"],
            "model": "ggml-tiny.en",
            "asset": "swagger-ui.css",
        },
    )


@pytest.fixture
def world(template: Template, settings: Config) -> Iterator[World]:
    shutil.copytree(template.storage, settings.storage.path)
    with in_process(settings) as service:
        callers = template.authorizations.items()
        yield World({name: Api(service.client, value) for name, value in callers}, template.names)


def call(world: World, caller: Api, route: str, expect: int) -> None:
    method, path = route.split()
    arguments = {}
    singular = route
    for name in ("token", "file", "webhook"):
        singular = singular.replace(f"/{name}s", f"/{name}")
    if body := BODIES.get(singular):
        arguments["json"] = {
            name: world.fill(value) if isinstance(value, str) else value
            for name, value in body.items()
        }
    if "/upload" in route:
        arguments["headers"] = creation(10) | piece(0, X_HTTP_Method_Override="PATCH")
    if singular == "POST /file":
        form = {"file": ("again.wav", SPEECH.read_bytes())}
        arguments["data"], arguments["content_type"] = encode_multipart_formdata(form)
    if path.startswith(ELSEWHERE):
        caller = replace(caller, prefix="")
    if path.endswith("/events"):
        method = "HEAD"  # a stream goes on as long as the transcription does
    caller.call(method, world.fill(path), expect=expect, **arguments)


def groups(route: str) -> list[list[str]]:
    """Divide the callers of a route: no two of a group change what there is."""
    if route.startswith("GET "):
        return [list(CALLERS)]
    statuses = dict(zip(CALLERS, ROUTES[route], strict=True))
    refused = [caller for caller, status in statuses.items() if status >= 400]
    first, *others = [caller for caller in CALLERS if caller not in refused] or [""]
    return [[*refused, first] if first else refused, *([caller] for caller in others)]


@pytest.mark.parametrize(
    ("route", "callers"),
    [
        pytest.param(route, callers, id=f"{route} by {', '.join(callers)}")
        for route in ROUTES
        for callers in groups(route)
    ],
)
def test_each_route_admits_only_its_callers(world: World, route: str, callers: list[str]) -> None:
    for caller in callers:
        call(world, world.callers[caller], route, ROUTES[route][CALLERS.index(caller)])


def test_every_route_is_in_the_table(service: Service) -> None:
    names = {
        "downloads": "file",
        "files": "file",
        "api_keys": "token",
        "results": "transcription",
        "transcriptions": "transcription",
        "corrections": "transcription",
        "resumable": "upload",
        "webhooks": "webhook",
        "accounts": "avatar",
        "admin": "user",
    }
    routed = set()
    for rule in service.client.application.url_map.iter_rules():
        if rule.endpoint.startswith("page."):  # files for browsers
            continue
        path = rule.rule.removeprefix("/api/v1")
        path = path.replace("<uuid>", f"{{{names.get(rule.endpoint.split('.')[0])}}}")
        path = path.replace("<name>", "{model}").replace("<path:path>", "{asset}")
        routed |= {f"{method} {path}" for method in rule.methods - {"HEAD", "OPTIONS"}}
    assert routed == set(ROUTES)
