"""What holds of a part of a download, whatever range is asked for (RFC 9110, section 14)."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from tests.support.paths import DATA
from tests.support.service import Service

WAV = (DATA / "austen-0880.wav").read_bytes()
SIZE = len(WAV)
POSITIONS = st.integers(0, 2 * SIZE) | st.sampled_from([0, 1, SIZE - 1, SIZE, SIZE + 1, 10**30])
MANY = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def uuid(service: Service) -> str:
    """An upload that is not converted yet, so that its bytes are known."""
    (file,) = service.register().send(("talk.wav", WAV))
    return str(file["uuid"])


def download(service: Service, uuid: str, asked: str) -> TestResponse:
    return service.client.get(f"/api/v1/file/{uuid}", headers={"Range": asked}, buffered=True)


def assert_part(response: TestResponse, start: int, stop: int) -> None:
    assert response.status_code == 206
    assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert response.content_length == stop - start
    # A server sends no more than Content-Length (PEP 3333).
    assert response.data[: response.content_length] == WAV[start:stop]


def assert_not_satisfiable(response: TestResponse) -> None:
    assert response.status_code == 416
    assert response.headers["Content-Range"] == f"bytes */{SIZE}"


@MANY
@given(POSITIONS, st.none() | POSITIONS)
def test_a_first_and_a_last_byte_give_that_part(
    service: Service, uuid: str, first: int, last: int | None
) -> None:
    response = download(service, uuid, f"bytes={first}-{'' if last is None else last}")
    if last is not None and last < first:
        assert response.status_code == 200
        assert response.data == WAV
    elif first >= SIZE:
        assert_not_satisfiable(response)
    else:
        assert_part(response, first, SIZE if last is None else min(last + 1, SIZE))


@MANY
@given(POSITIONS)
def test_a_length_gives_the_last_bytes(service: Service, uuid: str, length: int) -> None:
    response = download(service, uuid, f"bytes=-{length}")
    if length:
        assert_part(response, max(SIZE - length, 0), SIZE)
    else:  # not satisfiable in the RFC, which lets a server ignore any range
        assert response.status_code == 200
        assert response.data == WAV


@MANY
@given(st.text(st.sampled_from("bytes=-, 0159\t"), max_size=20))
def test_any_other_text_gives_the_whole_or_one_part(
    service: Service, uuid: str, asked: str
) -> None:
    response = download(service, uuid, asked)
    if response.status_code == 206:
        found = re.fullmatch(rf"bytes (\d+)-(\d+)/{SIZE}", response.headers["Content-Range"])
        assert found
        assert_part(response, int(found[1]), int(found[2]) + 1)
    elif response.status_code == 416:
        assert_not_satisfiable(response)
    else:
        assert response.status_code == 200
        assert response.data == WAV
