"""Resumable uploads with tus 1.0.0.

The body of a PATCH is in the upload's file before its view is called: `open_body` decides by its
head, and hands the server a receiver. With a checksum the body is verified first.
"""

from contextlib import closing
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.http import http_date

from whisper_service import ids
from whisper_service.config import Config
from whisper_service.errors import ServiceError
from whisper_service.files import resumable
from whisper_service.files.storage import Storage
from whisper_service.files.upload_folder import UploadWriter
from whisper_service.tables import Upload, User
from whisper_service.web import cors, serializers, tus
from whisper_service.web.auth import current_user
from whisper_service.web.route_options import Body, Pool, RequestHead, route_options
from whisper_service.web.services import services

public = Blueprint("tus", __name__)
private = Blueprint("resumable", __name__)

OVERRIDE = "X-HTTP-Method-Override"
# The framing of a chunked body counts as well.
CHUNKED_FACTOR, CHUNKED_BYTES = 2, 64 * 1024


def open_body(head: RequestHead, user: User, config: Config, storage: Storage) -> Body:
    """Decide about the body of a PATCH, or a POST in its place. Raises ServiceError."""
    try:
        return _open_body(head, user, config, storage)
    except ServiceError as error:
        origin = head.headers.get("ORIGIN")
        error.headers = {"Tus-Resumable": tus.VERSION} | cors.allow(origin, config)
        if error.status == 412:
            error.headers |= {"Tus-Version": tus.VERSION}
        raise


def _open_body(head: RequestHead, user: User, config: Config, storage: Storage) -> Body:
    headers = _headers_of(head)
    method = headers(OVERRIDE) if head.method == "POST" else head.method
    if method != "PATCH":
        return Body(0)
    tus.check_version(headers)
    piece, uuid = tus.piece(headers, head.length), ids.parse(head.path.rpartition("/")[2])
    if tus.checksum(headers):
        row = resumable.find(user, uuid)
        resumable.check(row, piece, config, storage)
        return Body(_max_bytes(head, row.size_bytes - piece.offset))
    writer = resumable.open_writer(user, uuid, piece, config, storage)
    return Body(_max_bytes(head, writer.left), writer)


def _headers_of(head: RequestHead) -> tus.Headers:
    return lambda name: head.headers.get(name.upper().replace("-", "_"))


def _max_bytes(head: RequestHead, left: int) -> int:
    return left if head.length else CHUNKED_FACTOR * left + CHUNKED_BYTES


@private.before_request
def _check_version() -> None:
    if request.method != "GET":
        tus.check_version(request.headers.get)


@public.after_request
@private.after_request
def _add_version(response: Response) -> Response:
    response.headers["Tus-Resumable"] = tus.VERSION
    if response.status_code == 412:
        response.headers["Tus-Version"] = tus.VERSION
    return response


@public.route("/upload", methods=["OPTIONS"])
@public.route("/uploads", methods=["OPTIONS"])
@public.route("/upload/<uuid>", methods=["OPTIONS"])
@public.route("/uploads/<uuid>", methods=["OPTIONS"])
def options(uuid: str = "") -> Response:  # noqa: ARG001
    return Response(
        status=204, headers=tus.capabilities(services().config.storage.max_upload_bytes)
    )


@private.post("/upload")
@private.post("/uploads")
def create() -> tuple[dict[str, Any], int, dict[str, str]]:
    new = tus.new_upload(request.headers.get)
    row = resumable.create(current_user(), new, services().config, services().storage)
    location = {"Location": f"{request.path}/{row.uuid}"}
    return _serialize(row), 201, location | _headers(row)


@private.get("/upload/<uuid>")
@private.get("/uploads/<uuid>")
@route_options(Pool.UPLOAD)
def show(uuid: str) -> dict[str, Any] | Response:
    """Describe an upload, which is stored first if it is complete."""
    row = _finish(ids.parse(uuid))
    if request.headers.get(OVERRIDE, request.method) == "GET":
        return _serialize(row)
    resumable.raise_rejection(row)
    headers = _headers(row) | {"Upload-Length": str(row.size_bytes), "Cache-Control": "no-store"}
    if row.metadata:
        headers["Upload-Metadata"] = row.metadata
    return Response(headers=headers, mimetype="application/json")


@private.patch("/upload/<uuid>")
@private.patch("/uploads/<uuid>")
@route_options(Pool.UPLOAD, open_body=open_body)
def append(uuid: str) -> Response:
    uuid = ids.parse(uuid)
    with closing(_received(uuid)) as writer:
        writer.sync()
        row = resumable.find(current_user(), uuid)
        if writer.offset == row.size_bytes:
            row = _finish(uuid)
    resumable.raise_rejection(row)
    return Response(status=204, headers=_headers(row, writer.offset))


@private.delete("/upload/<uuid>")
@private.delete("/uploads/<uuid>")
def delete(uuid: str) -> Response:
    resumable.delete(current_user(), ids.parse(uuid), services().storage)
    return Response(status=204)


@private.post("/upload/<uuid>")
@private.post("/uploads/<uuid>")
@route_options(Pool.UPLOAD, open_body=open_body)
def override(uuid: str) -> Any:  # noqa: ANN401
    """Do what another method does, for clients that can send POST alone."""
    views = {"PATCH": append, "DELETE": delete, "HEAD": show, "GET": show}
    method = request.headers.get(OVERRIDE)
    if method not in views:
        raise MethodNotAllowed(list(views))
    return views[method](uuid)


def _received(uuid: str) -> UploadWriter:
    """Return the writer that has got the request's body."""
    body = request.environ["wsgi.input"]
    if isinstance(body, UploadWriter):
        return body
    head = request.headers.get
    piece, claimed = tus.piece(head, request.content_length or 0), tus.checksum(head)
    if claimed:
        tus.verify(body, claimed)
    writer = resumable.open_writer(
        current_user(), uuid, piece, services().config, services().storage
    )
    try:
        while data := body.read(tus.READ_BYTES):
            writer.write(data)
    except BaseException:
        writer.close()
        raise
    return writer


def _finish(uuid: str) -> Upload:
    row = resumable.finish(current_user(), uuid, services().config, services().storage)
    if row.file_uuid:
        services().worker.wake()
    return row


def _headers(row: Upload, offset: int | None = None) -> dict[str, str]:
    config, storage = services().config, services().storage
    headers = {
        "Upload-Offset": str(resumable.offset(row, storage) if offset is None else offset),
        "Upload-Expires": http_date(resumable.expires_at(row, config, storage)),
    }
    return headers | ({"File-UUID": row.file_uuid} if row.file_uuid else {})


def _serialize(row: Upload) -> dict[str, Any]:
    config, storage = services().config, services().storage
    return serializers.upload(
        row,
        resumable.stored_file(row),
        offset=resumable.offset(row, storage),
        expires_at=resumable.expires_at(row, config, storage),
    )
