"""Requests to every route, most of them valid but for one thing."""

import json
from collections.abc import Callable
from math import prod
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from werkzeug.routing import Rule

from tests.support.odd_values import (
    JSON,
    METHODS,
    ODD_BODIES,
    ODD_HEADERS,
    ODD_JSON,
    ODD_NAMES,
    ODD_PARTS,
    ODD_QUERIES,
    ODD_SEGMENTS,
)
from tests.support.service import PASSWORD
from tests.support.tus import creation, piece
from tests.support.world import OTHER, RECORDING, Request, World


class Requests:
    """Strategies for requests; many are valid but for one thing, so that they get far."""

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
            "url": ['"https://example.org/other"', '"http://example.org:8080/?a=b"'],
            "enabled": ["true", "false"],
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
            if "/upload" in rule.rule:
                headers |= creation(10) | piece(0)
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


def part(name: str, filename: str, content: bytes) -> bytes:
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"{filename}\r\n\r\n'
    return head.encode(errors="surrogateescape") + content + b"\r\n"
