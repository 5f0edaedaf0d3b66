"""Responses with a file or a range of it (RFC 9110, sections 13 and 14).

The server gets the open file in WSGI's file wrapper, so a client that stalls holds a socket but no
thread. Flask's own range responses are generators, which hold one.
"""

import os
from typing import BinaryIO
from urllib.parse import quote

from flask import Response, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import RequestedRangeNotSatisfiable
from werkzeug.http import dump_options_header, quote_etag
from werkzeug.wsgi import wrap_file

from whisper_service.files import library
from whisper_service.tables import File


def respond(row: File, opened: BinaryIO) -> Response:
    """Return a response with the requested bytes. The server closes the file.

    Raises RequestedRangeNotSatisfiable for a range that begins after the end of the file.
    """
    try:
        response = _respond(row, opened)
    except BaseException:
        opened.close()
        raise
    if not response.direct_passthrough or request.method == "HEAD":
        opened.close()
    return response


def _respond(row: File, opened: BinaryIO) -> Response:
    size = os.fstat(opened.fileno()).st_size
    # A file's bytes change once, when the converted copy replaces the original.
    etag = f"{row.uuid}-{'original' if row.status != 'ready' else 'converted'}"
    headers = _headers(row, etag)
    if request.if_none_match.contains_weak(etag):
        return Response(status=304, headers=headers)
    start, stop = 0, size
    byte_range = _requested_range(etag, size)
    if byte_range:
        start, stop = byte_range
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    opened.seek(start)
    body = wrap_file(request.environ, opened)
    response = Response(
        body, 206 if byte_range else 200, headers, row.content_type, direct_passthrough=True
    )
    response.content_length = stop - start
    return response


def _requested_range(etag: str, size: int) -> tuple[int, int] | None:
    """Return the start and stop of the requested range; None for the whole file.

    A request for several ranges gets the whole file. Raises RequestedRangeNotSatisfiable.
    """
    requested = request.range
    if requested is None or requested.units != "bytes" or len(requested.ranges) != 1:
        return None
    # Ranges apply to GET only, and a weak ETag never matches If-Range.
    if request.method != "GET" or request.headers.get("If-Range") not in {None, quote_etag(etag)}:
        return None
    start, stop = requested.ranges[0]
    if start < 0:  # the last -start bytes
        start = max(start + size, 0)
    if start >= size:
        raise RequestedRangeNotSatisfiable(size)
    return start, size if stop is None else min(stop, size)


def _headers(row: File, etag: str) -> Headers:
    name = library.download_name(row)
    options = {"filename": name.encode("ascii", "replace").decode().replace("?", "_")}
    if not name.isascii():
        options["filename*"] = "UTF-8''" + quote(name, safe="")
    return Headers(
        {
            "Content-Disposition": dump_options_header("inline", options),
            "Accept-Ranges": "bytes",
            "ETag": quote_etag(etag),
            "Cache-Control": "private, no-cache",
            "Content-Security-Policy": "sandbox; default-src 'none'; media-src 'self'",
            "Referrer-Policy": "no-referrer",
        }
    )
