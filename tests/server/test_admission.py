"""Which threads serve which request."""

import pytest

from tests.support.service import Service
from whisper_service.server.admission import pool_sizes
from whisper_service.web import route_options
from whisper_service.web.route_options import Pool

# All that takes long; where one is missing here, it is short.
LONG = {
    "POST /api/v1/file": Pool.UPLOAD,
    "POST /api/v1/files": Pool.UPLOAD,
    **dict.fromkeys(
        (
            f"{method} /api/v1/{upload}/<uuid>"
            for method in ("GET", "HEAD", "PATCH", "POST")
            for upload in ("upload", "uploads")
        ),
        Pool.UPLOAD,
    ),
    "POST /api/v1/user/register": Pool.REGISTRATION,
    "POST /api/v1/user/login": Pool.CREDENTIALS,
    "PATCH /api/v1/user": Pool.CREDENTIALS,
    "DELETE /api/v1/user": Pool.CREDENTIALS,
    "POST /v1/audio/transcriptions": Pool.SPEECH,
    "POST /v1/audio/translations": Pool.SPEECH,
    "POST /asr": Pool.SPEECH,
    "POST /detect-language": Pool.LANGUAGE,
}


def test_each_route_has_its_pool(service: Service) -> None:
    app = service.client.application
    routes = {
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
    }
    assert routes >= LONG.keys()
    pools = {route: route_options.find(app, *route.split()).pool for route in routes}
    assert {route: pool for route, pool in pools.items() if pool != Pool.SHORT} == LONG


@pytest.mark.parametrize("threads", [4, 16, 256])
def test_no_address_gets_a_whole_pool(threads: int) -> None:
    sizes = pool_sizes(threads)
    assert sizes.keys() == set(Pool)
    assert sizes[Pool.SHORT].threads == threads
    for size in sizes.values():
        assert 1 <= size.per_client < size.threads
    for pool in (Pool.SPEECH, Pool.LANGUAGE):
        assert sizes[pool].per_client <= sizes[pool].threads / 2
