import time
from typing import Any

import pytest

from tests.support.accounts import make_admin
from tests.support.jobs import balance
from tests.support.paths import DATA
from tests.support.service import Api, Service
from whisper_service.tables import Transcription, User


@pytest.fixture
def root(service: Service) -> Api:
    api = service.register("root")
    make_admin("root")
    return api


def test_the_list_has_everybodys_statistics(service: Service, root: Api) -> None:
    ann = service.with_key(service.register("ann"))
    file, old = ann.upload(DATA / "jfk.wav", DATA / "austen-0880.wav")
    service.convert_once()
    service.convert_once()
    for uuid in (file["uuid"], old["uuid"]):
        ann.post("/transcribe", {"uuid": uuid, "model": "ggml-tiny.en", "format": ["srt", "vtt"]})
    service.work()
    month = 30 * 24 * 3600 + 60
    Transcription.update(created_at=Transcription.created_at - month).where(
        Transcription.file_uuid == old["uuid"]
    ).execute()
    answer = root.get("/admin/users")
    listed, themself = answer["users"]
    profile = ann.get("/user")
    assert listed == {
        "uuid": profile["uuid"],
        "username": "ann",
        "is_admin": False,
        "registered_at": profile["registered_at"],
        "token_balance": 1000 - 22 - 6,
        "price_multiplier": 1.0,
        "avatar_uuid": None,
        "stats": {
            "last_30_days": {
                "transcriptions_count": 2,
                "total_audio_seconds": 22,
                "files_uploaded": 2,
            },
            "total_storage_bytes": sum(
                path.stat().st_size
                for path in (service.storage.root / "files").glob("*/*")
                if path.name != "probabilities"  # of speech: a thousandth of the WAV
            ),
            "active_sessions": 1,
            "api_keys_count": 1,
        },
    }
    assert themself["is_admin"] is True
    assert set(themself["stats"]["last_30_days"].values()) == {0}
    assert answer["pagination"] == {"page": 1, "limit": 10, "total_count": 2, "total_pages": 1}
    assert root.get("/admin/users?page=2")["users"] == []


def test_balance_and_price_are_set(service: Service, root: Api) -> None:
    ann = service.register("ann")
    uuid = ann.get("/user")["uuid"]
    body = {"token_balance": 5000, "price_multiplier": 0.07}
    answer = root.call("PATCH", f"/admin/users/{uuid.upper()}", json=body).json
    assert answer == {
        "message": "User updated successfully",
        "updated_fields": ["token_balance", "price_multiplier"],
        "user": {"uuid": uuid, "username": "ann", **body},
    }
    assert User.get(User.uuid == uuid).price_micros == 70_000
    assert ann.get("/user")["token_balance"] == 5000
    root.call("PATCH", f"/admin/users/{uuid}", json={"token_balance": 10})
    User.delete().where(User.username == "root").execute()
    assert balance() == 10


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"token_balance": "5"}, "token_balance must be an integer"),
        ({"token_balance": 5.0}, "token_balance must be an integer"),
        ({"token_balance": True}, "token_balance must be an integer"),
        ({"token_balance": -1}, "token_balance must be non-negative"),
        ({"token_balance": 10**15 + 1}, "token_balance must be at most 1000000000000000"),
        ({"price_multiplier": "1"}, "price_multiplier must be a number"),
        ({"price_multiplier": True}, "price_multiplier must be a number"),
        ({"price_multiplier": [1]}, "price_multiplier must be a number"),
        ({"price_multiplier": -0.000001}, "price_multiplier must be non-negative"),
        ({"price_multiplier": 1000.000001}, "price_multiplier must be at most 1000"),
        ({"price_multiplier": 1e-7}, "price_multiplier must have at most 6 decimal places"),
        ({"price_multiplier": float("nan")}, "Invalid JSON body"),
        ({"price_multiplier": float("inf")}, "Invalid JSON body"),
        ({}, "No valid fields to update. Give token_balance or price_multiplier"),
        ({"is_admin": True}, "No valid fields to update. Give token_balance or price_multiplier"),
    ],
)
def test_a_bad_value_changes_nothing(
    service: Service, root: Api, body: dict[str, Any], message: str
) -> None:
    uuid = service.register("ann").get("/user")["uuid"]
    good = {"token_balance": 7, "price_multiplier": 2} if body and "is_admin" not in body else {}
    assert root.error("PATCH", f"/admin/users/{uuid}", 400, good | body) == message
    user = User.get(User.uuid == uuid)
    assert (user.token_balance, user.price_micros) == (1000, 1_000_000)


def test_numbers_are_read_as_they_were_written(service: Service, root: Api) -> None:
    uuid = service.register("ann").get("/user")["uuid"]
    for text, status in (("1e400", 400), ("1e-400", 400), ("0.1e1", 200), ("1e3", 200), ("0", 200)):
        raw = f'{{"price_multiplier": {text}}}'
        root.call("PATCH", f"/admin/users/{uuid}", status, data=raw)
    assert User.get(User.uuid == uuid).price_micros == 0


def test_a_price_of_nothing_is_free(service: Service, root: Api) -> None:
    ann = service.register("ann")
    body = {"token_balance": 0, "price_multiplier": 0}
    root.call("PATCH", f"/admin/users/{ann.get('/user')['uuid']}", json=body)
    (file,) = ann.upload(DATA / "austen-0880.wav")
    order = {"uuid": file["uuid"], "model": "ggml-tiny.en"}
    (queued,) = ann.post("/transcribe", order)["transcriptions"]
    service.work()
    assert ann.get(f"/transcribe/{queued['uuid']}")["status"] == "completed"
    assert ann.get("/user")["token_balance"] == 0
    assert int(time.time()) - Transcription.get().processed_at < 60
