"""A file as an answer, whole or in part (RFC 9110, sections 13 and 14).

The file itself is handed to the server as WSGI's file wrapper, so that a reader who stalls holds
a socket and not a thread; Flask's own ranges are generators, which do.
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
    """Answer with the bytes that the request asks for. The server closes the file.

    Raises RequestedRangeNotSatisfiable for a range that begins behind the end.
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
    # The bytes of a uuid change once, when the converted copy takes the original's place.
    etag = f"{row.uuid}-{'original' if row.status != 'ready' else 'converted'}"
    headers = _headers(row, etag)
    if request.if_none_match.contains_weak(etag):
        return Response(status=304, headers=headers)
    start, stop = 0, size
    asked = _asked_range(etag, size)
    if asked:
        start, stop = asked
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    opened.seek(start)
    body = wrap_file(request.environ, opened)
    response = Response(
        body, 206 if asked else 200, headers, row.content_type, direct_passthrough=True
    )
    response.content_length = stop - start
    return response


def _asked_range(etag: str, size: int) -> tuple[int, int] | None:
    """Find the one range that is asked for. None stands for the whole, several included.

    Raises RequestedRangeNotSatisfiable.
    """
    wanted = request.range
    if wanted is None or wanted.units != "bytes" or len(wanted.ranges) != 1:
        return None
    # A range is for GET alone, and a weak ETag never stands for the same bytes.
    if request.method != "GET" or request.headers.get("If-Range") not in {None, quote_etag(etag)}:
        return None
    start, stop = wanted.ranges[0]
    if start < 0:  # so many bytes from the end
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
