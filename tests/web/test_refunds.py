"""What a deletion gives back of a running transcription, and what a grant settles."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.accounts import make_admin
from tests.support.engine import FakeEngine
from tests.support.ffmpeg import run_ffmpeg
from tests.support.jobs import balance, claim, statuses, submit
from tests.support.service import Api, Service
from whisper_service import billing
from whisper_service.errors import Cancelled
from whisper_service.jobs import outcomes
from whisper_service.tables import LedgerEntry, Transcription, User
from whisper_service.transcript_key import TranscriptKey
from whisper_service.whisper.engine import EngineCrashed

JFK = Path(__file__).parent.parent / "data" / "jfk.wav"


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register("ann")


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """44 seconds, in which the fake engine hears four chunks of 14 seconds at most."""
    path = tmp_path / "talk.mp3"
    run_ffmpeg("-stream_loop", "3", "-i", JFK, "-b:a", "64k", path)
    return path


def during_chunk(number: int, act: Callable[[], Any]) -> FakeEngine:
    """Make an engine in which something happens while a chunk, counted from 1, is transcribed."""
    engine = FakeEngine()
    engine.act = lambda: act() if len(engine.calls) == number else None
    return engine


def share_left() -> float:
    """Return the share of the speech that is not transcribed, by the rows at this moment."""
    done = billing.transcribed_samples(TranscriptKey.of(Transcription.get()))
    return 1 - done / Transcription.get().speech_samples


@pytest.mark.parametrize("what", ["transcription", "file"])
def test_a_deletion_gives_back_what_is_not_transcribed(
    service: Service, ann: Api, talk: Path, what: str
) -> None:
    (uuid,) = submit(service, ann, talk)
    left = []

    def delete() -> None:
        left.append(share_left())
        file = Transcription.get().file_uuid
        assert ann.get(f"/transcribe/{uuid}")["text"]
        ann.call("DELETE", f"/file/{file}" if what == "file" else f"/transcribe/{uuid}")

    service.transcribe(during_chunk(2, delete))
    cost = 44 + 1  # the MP3's padding makes it a little longer than 44 s
    assert 0.3 < left[0] < 0.7
    assert balance() == 1000 - cost + -(-cost * left[0] // 1)


def test_every_format_gives_back_its_own_share(service: Service, ann: Api, talk: Path) -> None:
    first, second = submit(service, ann, talk, format=["srt", "vtt"])
    engine = during_chunk(2, lambda: ann.call("DELETE", f"/transcribe/{first}"))
    service.transcribe(engine)
    assert ann.get(f"/transcribe/{second}")["status"] == "completed"
    assert 1000 - 90 < balance() < 1000 - 45


def test_a_deletion_before_the_first_words_gives_back_all(
    service: Service, ann: Api, talk: Path
) -> None:
    (uuid,) = submit(service, ann, talk)
    service.transcribe(during_chunk(1, lambda: ann.call("DELETE", f"/transcribe/{uuid}")))
    assert balance() == 1000


@pytest.mark.parametrize("error", [EngineCrashed("-11"), Cancelled(), KeyError("bug")])
def test_what_is_not_the_users_own_doing_gives_back_all(
    service: Service, ann: Api, talk: Path, error: Exception
) -> None:
    submit(service, ann, talk)

    def fail() -> None:
        raise error

    engine = during_chunk(3, fail)
    while len(engine.calls) < 3:
        service.worker.transcribe_once(engine)
    assert statuses() == ["failed" if isinstance(error, KeyError) else "pending"]
    assert balance() == 1000


def test_an_administrators_balance_is_not_added_to(service: Service, ann: Api) -> None:
    admin = service.register("root")
    make_admin("root")
    uuid = ann.get("/user")["uuid"]
    submit(service, ann, format=["srt", "vtt"])
    job = claim()
    admin.call("PATCH", f"/admin/users/{uuid}", json={"token_balance": 500})
    outcomes.fail(job, "Something broke")
    assert ann.get("/user")["token_balance"] == 500


def test_what_was_paid_before_the_grant_is_not_paid_again(service: Service, ann: Api) -> None:
    admin = service.register("root")
    make_admin("root")
    uuid = ann.get("/user")["uuid"]
    submit(service, ann, format=["srt", "vtt"])
    job = claim()
    admin.call("PATCH", f"/admin/users/{uuid}", json={"token_balance": 5})
    outcomes.put_back(job)
    assert ann.get("/user")["token_balance"] == 5
    service.work()
    assert statuses() == ["completed", "completed"]
    assert ann.get("/user")["token_balance"] == 5
    ledger = LedgerEntry.select().where(LedgerEntry.user_id == User.get(User.username == "ann").id)
    assert sum(entry.amount for entry in ledger) == 5
