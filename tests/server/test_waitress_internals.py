"""The parts of waitress, none of them documented, that whisper_service/server relies on."""

import inspect
import tomllib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock, call

import pytest
from waitress import receiver, server, task, wasyncore
from waitress.buffers import OverflowableBuffer
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser

PROJECT = Path(__file__).parent.parent.parent / "pyproject.toml"
# Methods that are overridden, called or replaced, with their parameters.
METHODS = {
    HTTPChannel: {
        "__init__": "self server sock addr adj map",
        "check_client_disconnected": "self",
        "handle_close": "self",
        "readable": "self",
        "received": "self data",
        "service": "self",
        "_flush_outbufs_below_high_watermark": "self",
        # Not overridden; it closes a connection by `will_close` in the loop.
        "handle_write": "self",
    },
    HTTPRequestParser: {
        "__init__": "self adj",
        "received": "self data",
        "parse_header": "self header_plus",
        "close": "self",
    },
    wasyncore.dispatcher: {"recv": "self buffer_size", "del_channel": "self map"},
    server.BaseWSGIServer: {"handle_accept": "self", "add_task": "self task"},
    task.ThreadedTaskDispatcher: {
        "add_task": "self task",
        "shutdown": "self cancel_pending timeout",
    },
    task.ErrorTask: {"execute": "self"},
}
# Attributes that are read or set: those of the class, and those that __init__ sets.
ATTRIBUTES = {
    HTTPChannel: {
        "close_when_flushed",
        "last_activity",
        "parser_class",
        "request",
        "total_outbufs_len",
        "will_close",
    },
    HTTPRequestParser: {
        "body_bytes_received",
        "body_rcv",
        "chunked",
        "completed",
        "content_length",
        "empty",
        "error",
        "expect_continue",
        "headers_finished",
        "version",
    },
    receiver.ChunkedReceiver: {"control_line", "trailer"},
    server.BaseWSGIServer: {"channel_class"},
}
SOURCES = {
    HTTPChannel.__init__: {"self.requests = []", "self.requests_lock =", "self.addr =", "self.adj"},
    HTTPRequestParser.__init__: {"self.headers = {}"},
    HTTPRequestParser.parse_header: {"self.command =", "self.path,", "self.request_uri ="},
    server.BaseWSGIServer.__init__: {"self.active_channels = {}", "self.effective_port ="},
    server.MultiSocketServer.__init__: {"self.effective_listen ="},
    task.ErrorTask.execute: {".to_response(ident)"},
    # Both log the path, which has no key in it any more.
    HTTPChannel.service: {"request.error", "self.requests[0]", "task.request.path"},
    task.WSGITask.get_environment: {
        '"REQUEST_URI": request.request_uri',
        '"waitress.client_disconnected"',
        '"wsgi.file_wrapper"',
    },
}
HELP = (
    "waitress {version} no longer has {name}. whisper_service/server overrides or uses it: read "
    "waitress's changes, adapt parser.py, channel.py, connections.py or server.py, and then this "
    "list"
)


def has(name: str, *, found: bool) -> None:
    assert found, HELP.format(version=version("waitress"), name=name)


@pytest.mark.parametrize("owner", METHODS, ids=lambda owner: owner.__name__)
def test_the_methods_are_there(owner: type) -> None:
    for name, parameters in METHODS[owner].items():
        method = getattr(owner, name, None)
        known = list(inspect.signature(method).parameters) if method else []
        has(f"{owner.__name__}.{name}({parameters})", found=known == parameters.split())


@pytest.mark.parametrize("owner", ATTRIBUTES, ids=lambda owner: owner.__name__)
def test_the_attributes_are_there(owner: type) -> None:
    for name in ATTRIBUTES[owner]:
        has(f"{owner.__name__}.{name}", found=hasattr(owner, name))


@pytest.mark.parametrize("function", SOURCES, ids=lambda function: function.__qualname__)
def test_the_instance_attributes_are_there(function: object) -> None:
    source = inspect.getsource(function)
    for text in SOURCES[function]:
        has(f"`{text}` in {function.__qualname__}", found=text in source)


def test_a_body_of_known_length_says_what_remains() -> None:
    body = receiver.FixedStreamReceiver(5, OverflowableBuffer(1024))
    has("FixedStreamReceiver.remain", found=getattr(body, "remain", None) == 5)


@pytest.mark.parametrize(
    "body",
    [
        lambda buffer: receiver.FixedStreamReceiver(5, buffer),
        receiver.ChunkedReceiver,
    ],
)
def test_a_body_goes_to_a_buffer_that_can_be_another_one(body: Callable[..., Any]) -> None:
    buffer, other = OverflowableBuffer(1024), Mock()
    other.__len__ = lambda _: 0
    received = body(buffer)
    has("buf of receivers", found=received.buf is buffer)
    received.buf = other
    received.received(b"5\r\nhello\r\n" if body is receiver.ChunkedReceiver else b"hello")
    assert other.method_calls == [call.append(b"hello")]
    has("getfile() of buffers", found=received.getfile() is other.getfile.return_value)
    has("getbuf() of receivers", found=received.getbuf() is other)
    for name in ("append", "getfile", "close", "__len__"):
        has(f"OverflowableBuffer.{name}", found=hasattr(OverflowableBuffer, name))


def test_a_parser_is_made_with_its_settings_alone() -> None:
    """The channel's `parser_class` is a partial, which waitress calls for errors as well."""
    settings = SimpleNamespace(max_request_header_size=100, max_request_body_size=100)
    has("HTTPRequestParser(adj)", found=HTTPRequestParser(settings).adj is settings)


def test_the_pinned_version_is_the_one_that_was_read() -> None:
    groups = tomllib.loads(PROJECT.read_text())["dependency-groups"]
    assert "waitress>=3.0.2,<3.1" in groups["service"]
    assert version("waitress").startswith("3.0.")
