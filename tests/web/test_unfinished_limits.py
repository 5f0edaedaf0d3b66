"""How many transcriptions may wait, and how much work they are while they do."""

from dataclasses import replace

import pytest

from tests.support.jobs import statuses, submit
from tests.support.paths import DATA
from tests.support.service import Api, Service
from whisper_service import config, db
from whisper_service.config import Config
from whisper_service.jobs import progress, queue
from whisper_service.tables import Transcription, User


@pytest.fixture
def settings(settings: Config) -> Config:
    return replace(
        settings, limits=config.LimitsSettings(unfinished_per_user=8, unfinished_per_file=5)
    )


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register("ann")


def test_unfinished_transcriptions_per_file_are_limited(service: Service, ann: Api) -> None:
    submit(service, ann, format=["srt", "vtt", "verbose_json"])
    body = {"uuid": Transcription.get().file_uuid, "model": "ggml-tiny.en"}
    message = ann.error(
        "POST", "/transcribe", 429, body | {"format": ["srt", "vtt", "verbose_json"]}
    )
    assert message == (
        "This file has 3 unfinished transcriptions of at most 5: try again when some are finished"
    )
    ann.post("/transcribe", body | {"format": ["srt", "vtt"]})
    ann.error("POST", "/transcribe", 429, body)
    assert len(statuses()) == 5
    service.work()
    ann.post("/transcribe", body)


def test_unfinished_transcriptions_per_user_are_limited(service: Service, ann: Api) -> None:
    for name in ("jfk.wav", "austen-0880.wav"):
        submit(service, ann, DATA / name, format=["srt", "vtt", "verbose_json"])
    (file,) = ann.upload(DATA / "austen-0890.wav")
    body = {"uuid": file["uuid"], "model": "ggml-tiny.en"}
    message = ann.error(
        "POST", "/transcribe", 429, body | {"format": ["srt", "vtt", "verbose_json"]}
    )
    assert message == (
        "You have 6 unfinished transcriptions of at most 8: try again when some are finished"
    )
    ann.post("/transcribe", body | {"format": ["srt", "vtt"]})
    bob = service.register("bob")
    (other,) = bob.upload(DATA / "jfk.wav")
    bob.post("/transcribe", {"uuid": other["uuid"], "model": "ggml-tiny.en"})


def test_a_refusal_says_when_to_try_again(service: Service, ann: Api) -> None:
    submit(service, ann, format=["srt", "vtt", "verbose_json"])
    body = {"uuid": Transcription.get().file_uuid, "model": "ggml-tiny.en"}
    body["format"] = ["srt", "vtt", "verbose_json"]  # type: ignore[assignment]
    response = ann.call("POST", "/transcribe", expect=429, json=body)
    assert response.headers["Retry-After"] == "60"


def test_what_cannot_be_paid_fails_in_transactions_of_one_job(
    service: Service, ann: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("jfk.wav", "austen-0880.wav", "austen-0890.wav"):
        submit(service, ann, DATA / name, format=["srt", "vtt"])
    User.update(token_balance=0).execute()
    begun = []
    real = queue.write_transaction
    monkeypatch.setattr(queue, "write_transaction", lambda: begun.append(1) or real())
    assert queue.claim_next() is None
    assert statuses() == ["failed"] * 6
    assert len(begun) == 4


def test_a_place_in_the_queue_reads_a_bounded_part_of_it(
    service: Service, ann: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "MAX_COUNTED", 3)
    files = [DATA / name for name in ("jfk.wav", "austen-0880.wav", "austen-0890.wav")]
    for file in files:
        submit(service, ann, file, format=["srt", "vtt"])
    last = Transcription.select().order_by(Transcription.id.desc()).get()
    ahead, samples = progress.ahead_of(last)
    assert ahead == 2
    assert samples / 16_000 == pytest.approx(19.3, abs=0.5)
    plan = db.database.execute_sql(
        f"EXPLAIN QUERY PLAN {progress.AHEAD}", (last.id, 3, "x")
    ).fetchall()
    assert any("USING COVERING INDEX transcription_by_status" in row[-1] for row in plan)
