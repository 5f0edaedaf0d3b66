"""Thousands of malformed requests to every route. None may be a failure of the service."""

import io
import json
import re
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes
from uuid import UUID

from flask import Flask
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from werkzeug.routing import Rule
from werkzeug.test import run_wsgi_app

from tests.conftest import PASSWORD, Service
from tests.speech import DATA
from tests.test_media import ffmpeg
from whisper_service import db, users
from whisper_service.tables import ApiToken, Transcription, User

REQUESTS = 5000
RECORDING = (DATA / "austen-0880.wav").read_bytes()
OTHER = (DATA / "austen-0930.wav").read_bytes()

# Numbers and texts of JSON that are trouble somewhere, as they are written in a body.
ODD_JSON = [
    *("null", "true", "false", "0", "-0", "-0.0", "-1", "1e400", "-1e400", "1e-400", "NaN"),
    *("1e99999999999999999999", "1E-99999999999999999999", "0.0000001", "Infinity", "-Infinity"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", "1" + "0" * 4000),
    *("1" + "0" * 5000, "0." + "1" * 5000, "1e15", "1000000000000001", "1000.0000001", "01", "1."),
    *('""', '" "', '"\\u0000"', '"\\ud800"', '"\\udfff\\ud800"', '"\\uffff"', '"\\x00"', '"\n"'),
    *('"<b>"', '"%00"', '"../../etc/passwd"', '"\u202e"', '"é\u0301"', '"😀"', '"\\ud83d\\ude00"'),
    *('"' + "x" * 5000 + '"', '"' + "Aa1!" * 300 + '"', "[]", "{}", '[""]', "[null]", "[[]]"),
    *("[1, 2]", '{"a": 1}', '["srt", 1]', '["srt", "srt"]', '["srt", "SRT"]', "'srt'", ""),
    *("[" * 1200, "[" * 1200 + "]" * 1200, '{"a":' * 1200 + "1" + "}" * 1200, '["x",' * 900),
]
ODD_BODIES = [
    *(
        b"",
        b" ",
        b"null",
        b"[]",
        b"{",
        b"}",
        b"{}{}",
        b'"',
        b"\xff\xfe",
        b"\x00",
        b"\xef\xbb\xbf{}",
    ),
    *(b"[" * 60_000, b'{"a":' * 12_000, b"{" + b'"a":1,' * 10_000 + b'"a":1}', b"x" * 70_000),
    *('{"username": "ann"}'.encode("utf-16"), b'{"username": "\xff"}', b'{"name": "\xed\xa0\x80"}'),
    *(b"a=1&b=2", b"<a/>", b"%00", b'{"name": "x"}\n\n', b'{"name": "a", "name": "b"}', b"1e9999"),
]
ODD_SEGMENTS = [
    *("%00", "%ff", "%2e%2e", "..", ".", "%2f", "%25", "%0d%0a", "é", "%C3%A9", "😀", "%u0041"),
    *("x" * 5000, "0" * 31, "0" * 33, "0" * 32, "g" * 32, " ", "%20", "+", "null", "-1", "*", ";"),
    *("0" * 32 + "%00", "0" * 32 + "%0a", "%EF%BC%90" * 32, "{}", "''", "//", "a/b", "%", "%zz"),
]
ODD_TYPES = [
    *("", "application/json", "application/json; charset=utf-16", "application/json; charset=x"),
    *("text/xml", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"),
    *("multipart/form-data; boundary=", 'multipart/form-data; boundary="', "multipart/mixed"),
    *("multipart/form-data; boundary=" + "x" * 500, "multipart/form-data; boundary=\xff", "/"),
    *("multipart/form-data; boundary=x; boundary=y", "multipart/form-data; boundary*=utf-8''%ff"),
    *("\xff", ";", "a/b; c", "multipart/form-data; charset=utf-7; boundary=x"),
]
ODD_HEADERS = {
    "Content-Type": ODD_TYPES,
    "Authorization": [
        *("", "Basic", "Basic ", "Bearer", "Bearer  ", "Digest x", "\xff\xfe", "Basic \xff\xfe"),
        *("Basic YW5uOnBhc3N3b3Jk", "Basic " + "A" * 8000, "Bearer " + "0" * 32, "basic\t0", ":"),
        *(
            "Bearer " + "g" * 32,
            "Bearer a b",
            "Basic =",
            "Negotiate " + "A" * 500,
            " ",
            "Basic \x00",
        ),
        *("Bearer \xb2" * 4, "Digest username=\xff", 'Digest username="', "Basic " + "f" * 31),
    ],
    "Range": [
        *("bytes", "bytes=", "bytes=-", "bytes=-1", "bytes=0-", "bytes=-0", "bytes=5-1", "x"),
        *(
            "bytes=" + "9" * 5000 + "-",
            "bytes=0-" + "9" * 5000,
            "bytes=-" + "9" * 5000,
            "\xb2=\xb2-",
        ),
        *(
            "bytes=" + "0-0," * 2000 + "1-1",
            "bytes=\xb2-\xb3",
            "bytes=1-2-3",
            "bytes=--1",
            "lines=1-",
        ),
        *("bytes = 1 - 2", "bytes=1-,", "bytes=,", "bytes=\x00", "bytes=1e3-", "=", "bytes=0-\xb2"),
    ],
    "If-Range": ["", "*", '"', "W/", '"x"', "\xff", "Wed, 99 Oct 9999 99:99:99 GMT", "0", '"\xff"'],
    "If-None-Match": ["", "*", '"', 'W/"', '"x", ' * 1000, "\xff", ",,,", '"a" "b"'],
    "If-Modified-Since": ["", "0", "\xff", "Wed, 99 Oct 9999 99:99:99 GMT", "9" * 5000],
    "If-Match": ["", "*", '"x"'],
    "Host": ["", "localhost:99999", "\xff", "a b", "[::1", "x" * 5000, "a/b", ":", "localhost:x"],
    "User-Agent": ["", "\xff\xfe", "x" * 5000, "\x01"],
    "Cookie": ["", "=", "a=\xff", "session=" + "x" * 3000, ";;;"],
    "Accept": ["", "text/html", "*/*;q=x", "\xff"],
    "X-Http-Method-Override": ["DELETE"],
    "X-Forwarded-For": ["\xff", "1.2.3.4"],
    "Content-Encoding": ["gzip", "\xff"],
    "Expect": ["100-continue", "x"],
}
ODD_QUERIES = [
    *("page=-1", "page=0", "page=1e9", "page=999999999999", "page=9999999999999999999", "page="),
    *("limit=%D9%A3", "limit=0", "limit=101", "limit=1.0", "limit=+1", "limit=%2B1", "limit=1_0"),
    *("page=1&page=2", "page=%00", "page=%ff", "limit=%", "limit=%zz", "=", "&&&", "?", "\xb2=1"),
    *("size=true", "size=1", "size=maybe", "size=%ff", "size=TRUE", "size", "page=2&limit=100"),
    *(
        "limit=" + "9" * 5000,
        "a=" * 5000,
        "page=\xb2",
        "page=1&limit=10",
        "page[]=1",
        "page=1;limit=1",
    ),
]
ODD_NAMES = [
    *("a.wav", "", " ", "../../x", "a\\b", 'a"b.wav', "a\r\nX-Evil: 1", "é😀.wav", "x" * 3000),
    *("\x00", "\u202egnp.wav", "a\u2028b", "%00", "C:\\x", "\udcff", "filename=x", "'", ";"),
]
METHODS = ["HEAD", "OPTIONS", "PUT", "TRACE", "PATCH", "DELETE", "POST", "GET", "CONNECT", "BREW"]


@dataclass
class Request:
    method: str
    path: str  # as it stands in the request line
    query: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def environ(self) -> dict[str, Any]:
        """Build what a WSGI server makes of it."""
        environ = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(self.path).decode("latin-1"),
            "QUERY_STRING": _latin(self.query),
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "localhost",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(self.body),
            "wsgi.input_terminated": True,
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        if self.body:
            environ["CONTENT_LENGTH"] = str(len(self.body))
        for name, value in self.headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        return environ


def _latin(text: str) -> str:
    """Turn text into the bytes that are sent, and those into what WSGI calls a string."""
    return text.encode().decode("latin-1")


class World:
    """A service with one of everything, put back after each request that changed something."""

    def __init__(self, service: Service, folder: Path) -> None:
        self.service = service
        self.app = service.client.application
        self.app.testing = False  # so that an exception becomes an answer, as it does when served
        self.picture = self._draw(folder / "picture.png")
        self.admin, self.ann, self.bob = map(service.register, ("admin", "ann", "bob"))
        users.promote(User.get(User.username == "admin"))
        self.key = service.with_key(self.ann)
        (ready,) = self.ann.send(("ready.wav", RECORDING))
        order = {"uuid": ready["uuid"], "model": "ggml-tiny.en"}
        self.ann.post("/transcribe", {**order, "format": ["verbose_json", "srt", "vtt"]})
        service.work()
        self.ann.post("/transcribe", {**order, "language": "en"})
        (converting,) = self.ann.send(("converting.wav", OTHER))
        (others,) = self.bob.send(("others.wav", OTHER))
        for user in (self.ann, self.admin):
            form = {"avatar": (io.BytesIO(self.picture), "me.png")}
            user.call("PATCH", "/user", data=form)
        self.sessions = [api.authorization.split()[1] for api in (self.ann, self.bob)]
        self.files = [item["uuid"] for item in (ready, converting, others)]
        # By the word that stands before them in a path, without its s.
        self.uuids = {
            "file": self.files,
            "transcribe": [row.uuid for row in Transcription.select()],
            "token": [row.uuid for row in ApiToken.select()],
            "user": [row.uuid for row in User.select()],
            "avatar": [row.avatar_uuid for row in User.select() if row.avatar_uuid],
        }
        assert {row.status for row in Transcription.select()} == {"completed", "pending"}
        self._rows = sqlite3.connect(":memory:")
        self._connection.backup(self._rows)
        self._copy = folder / "copy"
        shutil.copytree(service.storage.root / "files", self._copy / "files")
        shutil.copytree(service.storage.root / "avatars", self._copy / "avatars")
        self._recordings = self._listing()

    @property
    def callers(self) -> dict[str, str | None]:
        users = {"session": self.ann, "key": self.key, "admin": self.admin}
        return {"nobody": None} | {name: api.authorization for name, api in users.items()}

    @property
    def routes(self) -> list[tuple[Rule, str]]:
        return [
            (rule, method)
            for rule in sorted(self.app.url_map.iter_rules(), key=str)
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
        ]

    def put_back(self) -> None:
        self._rows.backup(self._connection)
        if self._listing() != self._recordings:
            for name in ("files", "avatars"):
                shutil.rmtree(self.service.storage.root / name)
                shutil.copytree(self._copy / name, self.service.storage.root / name)

    def close(self) -> None:
        self._rows.close()

    @property
    def _connection(self) -> sqlite3.Connection:
        return db.database.connection()

    def _listing(self) -> list[Path]:
        root = self.service.storage.root
        return [path for name in ("files", "avatars") for path in sorted((root / name).rglob("*"))]

    @staticmethod
    def _draw(path: Path) -> bytes:
        ffmpeg("-f", "lavfi", "-i", "testsrc2=s=16x16", "-frames:v", "1", path)
        return path.read_bytes()


class Requests:
    """What to send. Much of it is right but for one thing, so that it comes far."""

    def __init__(self, world: World) -> None:
        self.world = world
        recording, picture = RECORDING, world.picture
        self.fields = {
            "username": ['"fresh-name"', '"ann"', '"ADMIN"'],
            "password": [f'"{PASSWORD}"', '"Another-Horse-9"'],
            "old_password": [f'"{PASSWORD}"'],
            "name": ['"a key"', '"' + "x" * 255 + '"'],
            "uuid": [f'"{uuid}"' for uuid in world.files],
            "model": ['"ggml-tiny.en"', '"ggml-none"'],
            "language": ['"en"', '"auto"', '"de"'],
            "format": ['"srt"', '["vtt", "verbose_json"]', '"txt"'],
            "filename": ['"new.wav"', '"интервью.mp3"'],
            "session_id": [f'"{session}"' for session in world.sessions],
            "token_balance": ["500", "0", "1000000000000000"],
            "price_multiplier": ["0.5", "1000", "0.000001"],
        }
        self.contents = [recording, OTHER, picture, b"", b"junk", recording[:2000], b"\xff" * 300]
        self.headers = [(name, value) for name in ODD_HEADERS for value in ODD_HEADERS[name]]
        form = self.form()
        self.bodies = {tame: st.one_of(self.json(tame=tame), form) for tame in (True, False)}

    def of(self, rule: Rule, method: str) -> SearchStrategy[Request]:
        # Made once, for to make a strategy costs far more than to draw from it.
        paths = {tame: self.path(rule, tame=tame) for tame in (True, False)}
        callers = st.sampled_from([*self.world.callers.values(), self.world.admin.authorization])
        odd_headers = st.lists(st.sampled_from(self.headers), max_size=2)

        @st.composite
        def request(draw: Callable[[SearchStrategy[Any]], Any]) -> Request:
            tame = draw(st.integers(0, 2)) == 0
            path, (body, kind) = draw(paths[tame]), draw(self.bodies[tame])
            headers = {"Content-Type": kind}
            if authorization := draw(callers):
                headers["Authorization"] = authorization
            if tame:
                return Request(method, path, "", headers, body)
            headers |= dict(draw(odd_headers))
            return Request(
                draw(st.sampled_from([method] * 90 + METHODS)),
                path,
                draw(st.sampled_from([""] * 3 * len(ODD_QUERIES) + ODD_QUERIES)),
                headers,
                draw(st.sampled_from([b"", *[body] * 9])),
            )

        return request()

    def accepted(self, rule: Rule, method: str) -> tuple[Request, dict[str, str]] | None:
        """Find a JSON request that succeeds; None where the body has to be a form."""
        first = {name: values[0] for name, values in self.fields.items()}
        word = rule.rule.split("/")[-2].rstrip("s")
        for authorization in self.world.callers.values():
            for uuid in self.world.uuids.get(word, [""]):
                for username in self.fields["username"]:
                    members = {**first, "username": username}
                    headers = {"Content-Type": JSON, "Authorization": authorization or ""}
                    path = re.sub("<.*>", uuid, rule.rule)
                    request = Request(method, path, "", headers, written(members))
                    if checked(self.world, request) == 200:
                        return request, members
        return None

    def path(self, rule: Rule, *, tame: bool) -> SearchStrategy[str]:
        everything = [uuid for uuids in self.world.uuids.values() for uuid in uuids]

        @st.composite
        def path(draw: Callable[[SearchStrategy[Any]], Any]) -> str:
            segments = []
            for segment in rule.rule.split("/"):
                if segment.startswith("<"):
                    known = self.world.uuids.get(segments[-1].rstrip("s"), everything)
                    uuid = draw(st.sampled_from(known if tame else everything))
                    odd = [uuid.upper(), str(UUID(uuid)), uuid[:-1], *ODD_SEGMENTS]
                    right = tame or draw(st.integers(0, 3))
                    segments.append(uuid if right else draw(st.sampled_from(odd)))
                else:
                    segments.append(segment)
            if tame:
                return "/".join(segments)
            joint = draw(st.sampled_from(["/"] * 30 + ["//", "/./", "%2f"]))
            end = draw(st.sampled_from([""] * 30 + ["/", "//", "%00", "/..", "?", "%20", "/x"]))
            return joint.join(segments) + end

        return path()

    def json(self, *, tame: bool) -> SearchStrategy[tuple[bytes, str]]:
        choices = prod(len(values) for values in self.fields.values())
        odd = [None] * 9 + ODD_JSON  # None takes the field away
        changes = st.lists(
            st.sampled_from([(name, value) for name in self.fields for value in odd]), max_size=3
        )

        @st.composite
        def body(draw: Callable[[SearchStrategy[Any]], Any]) -> tuple[bytes, str]:
            shape = 9 if tame else draw(st.integers(0, 9))
            if shape == 0:
                return draw(st.sampled_from(ODD_BODIES)), JSON
            if shape == 1:
                return draw(st.sampled_from(ODD_JSON)).encode(), JSON
            choice, members = draw(st.integers(0, choices - 1)), {}
            for name, values in self.fields.items():
                choice, index = divmod(choice, len(values))
                members[name] = values[index]
            members |= {} if tame else dict(draw(changes))
            members = {name: value for name, value in members.items() if value is not None}
            raw = written(members)
            if shape == 2:
                raw = raw[: draw(st.integers(0, len(raw)))]
            return raw, JSON

        return body()

    def form(self) -> SearchStrategy[tuple[bytes, str]]:
        names = ["file", "avatar", "", "\xff", *self.fields]
        fields = {name: json.loads(values[0]) for name, values in self.fields.items()}

        @st.composite
        def body(draw: Callable[[SearchStrategy[Any]], Any]) -> tuple[bytes, str]:
            parts = []
            for _ in range(draw(st.integers(0, 2))):
                content = draw(st.sampled_from(self.contents))
                filename = draw(st.sampled_from(ODD_NAMES[:1] * 4 + ODD_NAMES))
                named = f'; filename="{filename}"' if draw(st.integers(0, 5)) else ""
                parts.append(part(draw(st.sampled_from(names[:2] * 4 + names)), named, content))
            for name in draw(st.lists(st.sampled_from(list(fields)), max_size=4, unique=True)):
                odd = draw(st.sampled_from(["\x00", "", "x" * 3000, "\ud800", "é", "1e400", *"[]"]))
                value = odd if draw(st.integers(0, 3)) == 0 else str(fields[name])
                parts.append(part(name, "", value.encode(errors="surrogatepass")))
            shape = draw(st.integers(0, 14))
            if shape == 0:
                parts = [part("file", draw(st.sampled_from(["", '; filename=""'])), b"")] * 2000
            if shape == 1:
                parts.append(draw(st.sampled_from(ODD_PARTS)))
            raw = b"".join(parts) + b"--x--\r\n"
            if shape == 2:
                raw = raw[: draw(st.integers(0, len(raw)))]
            return raw, "multipart/form-data; boundary=x"

        return body()


def written(members: dict[str, str]) -> bytes:
    text = ", ".join(f'"{name}": {value}' for name, value in members.items())
    return f"{{{text}}}".encode()


JSON = "application/json"
ODD_PARTS = [
    *(b"--x\r\n\r\nno header\r\n", b"--x\r\nContent-Disposition: form-data\r\n\r\nx\r\n"),
    *(b"--x\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n", b"--x", b"--y\r\n\r\n"),
    b"--x\r\nContent-Disposition: form-data; name*=utf-8''%ff; filename*=x'y'%e2%28\r\n\r\nx\r\n",
    b"--x\r\n" + b"A: b\r\n" * 5000 + b"\r\nx\r\n",
    b"--x\r\nContent-Type: a/b; charset=utf-16\r\nContent-Disposition: a; name=b\r\n\r\n\xff\r\n",
    b"--x\r\nContent-Length: -1\r\nContent-Disposition: form-data; name=file\r\n\r\nx\r\n",
]


def part(name: str, filename: str, content: bytes) -> bytes:
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n\r\n'
    return head.encode(errors="surrogateescape") + content + b"\r\n"


def send(app: Flask, request: Request) -> tuple[int, dict[str, str], bytes]:
    blocks, status, headers = run_wsgi_app(app.wsgi_app, request.environ(), buffered=True)
    return int(status.split()[0]), dict(headers), b"".join(blocks)


def check(request: Request, status: int, headers: dict[str, str], body: bytes) -> None:
    assert status < 500
    kind = headers.get("Content-Type", "")
    assert "html" not in kind
    for value in headers.values():
        value.encode("latin-1")
        assert not {"\r", "\n", "\0"} & set(value)
    if status >= 400:
        assert kind == "text/plain; charset=utf-8"
        assert body.strip() or request.method == "HEAD"
    elif kind == JSON:
        assert status == 200
        assert isinstance(json.loads(body or "{}"), dict)
    else:
        assert re.match("/api/v1/(files?|user/avatar)/", unquote(request.path))
        assert status in {200, 206, 304}
        assert kind in {"audio/mpeg", "audio/wav", "image/png"}
    assert (body == b"") == (request.method == "HEAD" or status == 304)


def checked(world: World, request: Request) -> int:
    """Send a request, look at the answer, put back what it changed, and return the status."""
    status, headers, body = send(world.app, request)
    try:
        check(request, status, headers, body)
    except AssertionError as error:
        error.add_note(f"{request}\n{status} {headers} {body[:500]!r}")
        raise
    finally:
        if status < 400 and request.method not in {"GET", "HEAD"}:
            world.put_back()
    return status


def attack(world: World, requests: SearchStrategy[Request], number: int, name: str) -> list[int]:
    """Send so many requests, which the name decides on; return the statuses of the answers."""
    statuses = []

    @seed(zlib.crc32(name.encode()))
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(requests)
    def survives(request: Request) -> None:
        statuses.append(checked(world, request))

    survives()
    return statuses


def test_nothing_that_is_sent_makes_the_service_fail(service: Service, tmp_path: Path) -> None:
    world = World(service, tmp_path)
    requests = Requests(world)
    routes = world.routes
    each = -(-REQUESTS // len(routes))
    sent = 0
    for rule, method in routes:
        name = f"{method} {rule.rule}"
        statuses = attack(world, requests.of(rule, method), each, name)
        sent += len(statuses)
        # What is sent is not so malformed that nothing behind the first check is reached.
        assert 200 in statuses, name
        assert any(status >= 400 for status in statuses), name
    world.close()
    assert sent >= REQUESTS
    assert list((service.storage.root / "tmp").iterdir()) == []


def test_every_field_of_every_body_survives_every_odd_value(
    service: Service, tmp_path: Path
) -> None:
    """What a route reads is found by giving it something else."""
    world = World(service, tmp_path)
    requests = Requests(world)
    read: set[tuple[str, str]] = set()
    for rule, method in world.routes:
        if method == "GET" or (accepted := requests.accepted(rule, method)) is None:
            continue
        request, members = accepted
        for name in members:
            if checked(world, replace(request, body=written({**members, name: "[[1]]"}))) == 200:
                continue
            read.add((rule.endpoint, name))
            for odd in ODD_JSON:
                checked(world, replace(request, body=written({**members, name: odd})))
    world.close()
    assert {name for _, name in read} == set(members)
    assert len(read) >= 15
