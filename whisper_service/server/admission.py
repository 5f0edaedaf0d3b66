"""Which threads serve a request, and how large its body may be."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from whisper_service.config import Config
from whisper_service.db import database
from whisper_service.errors import InvalidRequest
from whisper_service.files.storage import Storage
from whisper_service.server.dispatcher import PoolSize
from whisper_service.web import MAX_BODY_BYTES, auth, forms
from whisper_service.web.route_options import Body, FormLimit, Pool, RequestHead, RouteOptions

# An upload is on disk twice while its form is parsed: the body and the files in it.
BODY_COPIES = 2


def pool_sizes(threads: int) -> Mapping[str, PoolSize]:
    """Return the size of each pool, that of short requests having `threads`.

    No address can hold all threads of a pool.
    """
    uploads, hashes, waits = max(2, threads // 4), (os.cpu_count() or 1) + 2, threads // 2
    return {
        Pool.SHORT: PoolSize(threads, threads - 1),
        Pool.UPLOAD: PoolSize(uploads, uploads - 1),
        Pool.REGISTRATION: PoolSize(hashes, hashes - 1),
        Pool.CREDENTIALS: PoolSize(hashes, hashes - 1),
        Pool.SPEECH: PoolSize(waits, waits // 2),
        Pool.LANGUAGE: PoolSize(waits, waits // 2),
    }


@dataclass(frozen=True)
class Admission:
    """Decides about requests by their heads. `find_options` takes a method and a path."""

    find_options: Callable[[str, str], RouteOptions]
    config: Config
    storage: Storage

    def pool(self, method: str, path: str) -> Pool:
        return self.find_options(method, path).pool

    def open_body(self, head: RequestHead) -> Body:
        """Return how many bytes the body of a request may have, and what receives it.

        Raises Unauthenticated for a large body from nobody, StorageFull if it does not fit on the
        disk, InvalidRequest for a large body that is not a form where only forms are large, and for
        an avatar that is too large, and what the route's `open_body` does.
        """
        options = self.find_options(head.method, head.path)
        if not head.has_body or options.takes_small_bodies:
            return Body(MAX_BODY_BYTES)
        database.connect(reuse_if_open=True)
        authorization = head.headers.get("AUTHORIZATION", "")
        user, _ = auth.authenticate(authorization, self.config.auth.session_hours)
        if options.open_body:
            return options.open_body(head, user, self.config, self.storage)
        if options.form_limit:
            return Body(self._max_form_bytes(head, options.form_limit))
        return Body(options.max_json_bytes or MAX_BODY_BYTES)

    def _max_form_bytes(self, head: RequestHead, form_limit: FormLimit) -> int:
        if not forms.is_multipart(head.headers.get("CONTENT_TYPE", "")):
            if head.length > MAX_BODY_BYTES:
                raise InvalidRequest("Files must be sent as multipart/form-data")
            return MAX_BODY_BYTES
        limit = form_limit(self.config, head.length)
        self.storage.ensure_room(BODY_COPIES * head.length)
        return limit
