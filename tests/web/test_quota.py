"""How many bytes a user may have, recordings and what is made of them."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.ffmpeg import run_ffmpeg
from tests.support.paths import DATA
from tests.support.service import Api, Service
from whisper_service import db
from whisper_service.files import media, quota, transcoding, uploads
from whisper_service.files.storage import Storage
from whisper_service.tables import File, Transcription, User
from whisper_service.web.docs import document

JFK, SHORT, OTHER = DATA / "jfk.wav", DATA / "austen-0880.wav", DATA / "austen-0930.wav"
SIZE = JFK.stat().st_size
WAV = 2 * 176_000 + 44


@pytest.fixture
def ann(service: Service) -> Api:
    return service.register("ann")


def on_disk(service: Service) -> int:
    return sum(path.stat().st_size for path in (service.storage.root / "files").glob("*/*"))


def opus(folder: Path, *arguments: str) -> Path:
    path = folder / "talk.webm"
    run_ffmpeg("-i", JFK, "-c:a", "libopus", "-b:a", "6k", *arguments, path)
    return path


def test_what_is_counted_is_what_lies_on_disk(service: Service, ann: Api) -> None:
    ann.upload(JFK, SHORT)
    user = User.get().id
    for _ in range(5):
        assert quota.used_bytes(user) == on_disk(service)
        assert quota.used_bytes(user) == sum(map(quota.stored_bytes, File.select()))
        service.worker.encode_once() or service.worker.extract_once()
    assert {row.status for row in File.select()} == {"ready"}
    assert quota.used_bytes(user + 1) == 0


def test_a_sum_reads_its_index_alone(service: Service) -> None:
    total = File.select(quota.fn.SUM(quota.STORED_BYTES)).where(File.user_id == 1)
    sql, parameters = total.sql()
    (row,) = db.database.execute_sql(f"EXPLAIN QUERY PLAN {sql}", parameters).fetchall()
    assert "USING COVERING INDEX file_by_user (user_id=?)" in row[3]


def test_a_file_beyond_the_quota_is_rejected_by_itself(service: Service, ann: Api) -> None:
    service.storage.quota_bytes = SIZE + SHORT.stat().st_size
    results = ann.upload(JFK, OTHER, SHORT, JFK)
    errors = [item["status"].get("error") for item in results]
    assert errors == [None, "quota_exceeded", None, None]
    assert results[1]["message"] == (
        "The recording and what is made of it exceed the storage quota of "
        f"{service.storage.quota_bytes} bytes"
    )
    assert results[3]["status"]["existed"] is True
    assert File.select().count() == 2
    assert len(list((service.storage.root / "files").iterdir())) == 2
    (of_bob,) = service.register("bob").upload(JFK)
    assert of_bob["status"]["uploaded"], "everybody has a quota of their own"
    rejected = document(service.settings)["components"]["schemas"]["RejectedFile"]
    codes = rejected["properties"]["status"]["properties"]["error"]["enum"]
    assert "quota_exceeded" in codes


def test_without_a_quota_nothing_is_counted(
    service: Service, ann: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(quota, "used_bytes")
    assert service.storage.quota_bytes == 0
    ann.upload(JFK)
    service.work()
    assert File.get().status == "ready"


def test_of_two_uploads_at_once_one_is_rejected(
    service: Service, ann: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.storage.quota_bytes = SIZE
    together, answers, probe = threading.Barrier(2, timeout=30), [], uploads._probe

    def both_probed(*arguments: Any) -> media.Media:
        kind = probe(*arguments)
        together.wait()
        return kind

    def upload(path: Path) -> None:
        client = service.client.application.test_client()
        answers.extend(replace(ann, client=client).upload(path))

    monkeypatch.setattr(uploads, "_probe", both_probed)
    threads = [threading.Thread(target=upload, args=[path]) for path in (JFK, SHORT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    errors = [answer["status"].get("error") for answer in answers]
    assert sorted(map(str, errors)) == ["None", "quota_exceeded"]
    assert File.select().count() == 1


def test_a_claimed_wav_that_has_no_room_is_not_begun(
    service: Service, ann: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(transcoding, "extract")
    source = tmp_path / "talk.flac"
    run_ffmpeg("-i", JFK, source)
    service.storage.quota_bytes = source.stat().st_size + WAV - 40_000
    (uploaded,) = ann.upload(source)
    assert service.worker.extract_once()
    assert File.get().error.startswith("The recording and what is made of it exceed the storage")
    assert service.storage.original(uploaded["uuid"]).read_bytes() == source.read_bytes()


def test_a_wav_that_turns_out_to_have_no_room_fails_the_file(
    service: Service, ann: Api, tmp_path: Path
) -> None:
    source = opus(tmp_path, "-live", "1")
    size = source.stat().st_size
    service.storage.quota_bytes = size + WAV - 1000
    (uploaded,) = ann.upload(source)
    ann.post("/transcribe", {"uuid": uploaded["uuid"], "model": "ggml-tiny.en"})
    assert File.get().claimed_seconds is None
    assert service.worker.extract_once()
    row = File.get()
    assert (row.status, row.samples) == ("failed", None)
    assert Transcription.get().error == row.error
    assert row.error.startswith("The recording and what is made of it exceed the storage quota")
    assert quota.used_bytes(row.user_id) == on_disk(service) == size
    assert service.storage.original(row.uuid).read_bytes() == source.read_bytes()

    service.storage.quota_bytes = 0
    (again,) = ann.upload(source)
    assert again == uploaded
    service.work()
    assert Transcription.get().status == "failed"
    assert File.get().status == "ready"


def test_a_copy_that_has_no_room_fails_the_file_and_leaves_its_sound(
    service: Service, ann: Api, tmp_path: Path
) -> None:
    source = opus(tmp_path)
    service.storage.quota_bytes = source.stat().st_size + WAV + 1000
    (uploaded,) = ann.upload(source)
    assert service.worker.extract_once()
    queued = ann.post("/transcribe", {"uuid": uploaded["uuid"], "model": "ggml-tiny.en"})
    assert service.worker.encode_once()
    row = File.get()
    assert row.status == "failed"
    assert row.error.startswith("The recording and what is made of it exceed the storage quota")
    assert quota.used_bytes(row.user_id) == on_disk(service) <= service.storage.quota_bytes
    service.transcribe(service.engine)
    answer = ann.get(f"/transcribe/{queued['transcriptions'][0]['uuid']}")
    assert answer["status"] == "completed"
    (again,) = ann.upload(source)
    assert again["status"]["uploaded"], "what it had before makes room for it"


def test_who_is_over_a_new_quota_may_still_have_less(service: Service, ann: Api) -> None:
    ann.upload(JFK)
    assert service.worker.extract_once()
    service.storage.quota_bytes = 1000
    assert service.worker.encode_once()
    assert File.get().status == "ready", "the copy is smaller"


def test_the_setting_reaches_the_storage(tmp_path: Path) -> None:
    assert Storage(tmp_path, 1, 2).quota_bytes == 2
