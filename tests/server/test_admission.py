"""Which threads serve which request."""

import pytest

from tests.support.service import Service
from whisper_service.server.admission import (
    CREDENTIALS,
    REGISTRATION,
    SPEECH,
    UPLOAD,
    pool_of,
    pool_sizes,
)
from whisper_service.server.dispatcher import SHORT

# All that takes long; where one is missing here, it is short.
LONG = {
    "POST /api/v1/file": UPLOAD,
    "POST /api/v1/files": UPLOAD,
    "POST /api/v1/user/register": REGISTRATION,
    "POST /api/v1/user/login": CREDENTIALS,
    "PATCH /api/v1/user": CREDENTIALS,
    "DELETE /api/v1/user": CREDENTIALS,
    "POST /v1/audio/transcriptions": SPEECH,
    "POST /v1/audio/translations": SPEECH,
}


def test_each_route_has_its_pool(service: Service) -> None:
    routes = {
        f"{method} {rule.rule}"
        for rule in service.client.application.url_map.iter_rules()
        for method in rule.methods or ()
    }
    assert routes >= LONG.keys()
    pools = {route: pool_of(*route.split()) for route in routes}
    assert {route: pool for route, pool in pools.items() if pool != SHORT} == LONG


@pytest.mark.parametrize("threads", [4, 16, 256])
def test_no_address_gets_a_whole_pool(threads: int) -> None:
    sizes = pool_sizes(threads)
    assert sizes.keys() == {SHORT, *LONG.values()}
    assert sizes[SHORT].threads == threads
    for size in sizes.values():
        assert 1 <= size.per_address < size.threads
    assert sizes[SPEECH].per_address <= sizes[SPEECH].threads / 2
