import pytest

from tests.support.service import Service
from whisper_service.tables import ApiKey


def test_the_key_is_shown_once_and_kept_as_a_hash(service: Service) -> None:
    answer = service.register().post("/user/token", {"name": " Production API Key "})
    key = answer.pop("token")
    row = ApiKey.get()
    assert answer == {
        "message": "Token issued successfully",
        "token_id": row.uuid,
        "name": "Production API Key",
        "note": "Save this token securely. You won't be able to see it again.",
    }
    assert len(key) == 32
    assert key not in str(row.__data__)
    assert (row.key_start, row.key_end) == (key[:4], key[-4:])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "Missing 'name' field in request body"),
        ({"name": ""}, "Token name must be between 1 and 255 characters"),
        ({"name": "  "}, "Token name must be between 1 and 255 characters"),
        ({"name": "x" * 256}, "Token name must be between 1 and 255 characters"),
        ({"name": 5}, "name must be a string"),
    ],
)
def test_a_name_is_needed(service: Service, body: object, message: str) -> None:
    assert service.register().error("POST", "/user/token", 400, body) == message
