"""What ends a transcription writes its messages in the same transaction."""

import json
import wave
from collections.abc import Callable

import pytest

from tests.support.jobs import add_file, claim, submit
from tests.support.service import Api, Service
from tests.support.statements import before_statements
from tests.support.webhooks import add_messages, create, show
from whisper_service import db, ids
from whisper_service.jobs import outcomes, queue
from whisper_service.models import catalog
from whisper_service.tables import Transcription, User, WebhookEndpoint, WebhookMessage
from whisper_service.webhooks import outbox

URL = "https://example.org/hook"
End = Callable[[Service, Api], None]


def messages() -> list[WebhookMessage]:
    return list(WebhookMessage.select().order_by(WebhookMessage.id))


def run(service: Service, ann: Api) -> None:
    submit(service, ann, format=["srt", "vtt"])
    service.work()


def complete_from_store(service: Service, ann: Api) -> None:
    submit(service, ann)
    service.work()
    forget()
    submit(service, ann, format="srt")
    assert queue.complete_stored()


def delete_file(service: Service, ann: Api) -> None:
    submit(service, ann)
    ann.call("DELETE", f"/file/{ann.get('/file')['files'][0]['uuid']}")


def run_out_of_tokens(service: Service, ann: Api) -> None:
    User.update(token_balance=1).execute()
    run(service, ann)


def fail_in_engine(service: Service, ann: Api) -> None:
    submit(service, ann)
    outcomes.fail(claim(), "It broke")


def interrupt(service: Service, ann: Api) -> None:
    submit(service, ann)
    for _ in range(outcomes.MAX_ATTEMPTS):
        assert not messages()
        outcomes.retry(claim().claim)


def die_often(service: Service, ann: Api) -> None:
    submit(service, ann)
    for _ in range(outcomes.MAX_IDLE_STARTS):
        assert not messages()
        claim()
        outcomes.requeue_interrupted()


def fail_conversion(service: Service, ann: Api) -> None:
    silent = service.storage.root / "short.wav"
    with wave.open(str(silent), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(bytes(64_000))
    (file,) = ann.upload(silent)
    ann.post("/transcribe", {"uuid": file["uuid"], "model": "ggml-tiny.en"})
    service.storage.original(file["uuid"]).write_bytes(b"damaged meanwhile")
    assert service.convert_once()


def forget() -> None:
    WebhookMessage.delete().execute()


@pytest.mark.parametrize(
    "end",
    [
        *(run, complete_from_store, delete_file, run_out_of_tokens, fail_in_engine, interrupt),
        *(die_often, fail_conversion),
    ],
)
def test_whatever_ends_a_transcription_writes_its_messages(service: Service, end: End) -> None:
    ann, bob = service.register(), service.register("bob")
    hooks = [create(ann, f"{URL}/{number}") for number in range(2)]
    create(bob, URL)
    end(service, ann)
    newest = {row.uuid: row for row in Transcription.select()}
    sent = {(row.endpoint_id, row.transcription_uuid): row for row in messages()}
    ended = {uuid for _, uuid in sent}
    assert len(sent) == len(messages()) == 2 * len(ended)
    assert len({row.uuid for row in messages()}) == len(sent)
    assert {number for number, _ in sent} == {
        WebhookEndpoint.get(WebhookEndpoint.uuid == hook["uuid"]).id for hook in hooks
    }
    for (_, uuid), message in sent.items():
        row = newest[uuid]
        assert message.type == f"transcription.{row.status}"
        assert json.loads(outbox.body(message))["data"] == {
            "uuid": row.uuid,
            "file_uuid": row.file_uuid,
            "format": row.format,
            "model": "ggml-tiny.en",
            "status": row.status,
            "error_code": row.error_code,
        }
    assert [show(ann, hook)["waiting"] for hook in hooks] == [len(ended)] * 2


def test_a_transaction_that_is_rolled_back_sends_nothing(service: Service) -> None:
    ann = service.register()
    hook = create(ann, URL)
    (uuid,) = submit(service, ann)
    with pytest.raises(ZeroDivisionError), db.write_transaction():
        Transcription.update(status="failed", error="x").where(Transcription.uuid == uuid).execute()
        assert len(messages()) == 1
        _ = 1 / 0
    assert messages() == []
    assert show(ann, hook)["waiting"] == 0


def test_what_has_not_ended_sends_nothing(service: Service) -> None:
    ann = service.register()
    create(ann, URL)
    (uuid,) = submit(service, ann)
    outcomes.put_back(claim())
    ann.call("DELETE", f"/transcribe/{uuid}")
    assert messages() == []


def test_what_has_ended_does_not_end_again(service: Service) -> None:
    ann = service.register()
    create(ann, URL)
    fail_in_engine(service, ann)
    assert Transcription.update(status="failed", error="Again").execute() == 1
    assert len(messages()) == 1


def test_a_disabled_endpoint_and_one_with_too_many_waiting_get_none(service: Service) -> None:
    ann = service.register()
    disabled, full = create(ann, f"{URL}/disabled"), create(ann, f"{URL}/full")
    ann.call("PATCH", f"/webhook/{disabled['uuid']}", json={"enabled": False})
    add_messages(full, 1999)
    run(service, ann)
    assert show(ann, disabled)["waiting"] == 0
    assert show(ann, full)["waiting"] == 2000 == len(messages())


def test_a_transcription_that_was_deleted_meanwhile_is_still_told(service: Service) -> None:
    ann = service.register()
    create(ann, URL)
    run(service, ann)
    for row in list(Transcription.select()):
        ann.call("DELETE", f"/transcribe/{row.uuid}")
    assert len(messages()) == 2


def test_the_next_endpoint_is_found_by_indexes(service: Service) -> None:
    statements: list[str] = []
    with before_statements(statements.append):
        outbox.next_endpoint(0, [1, 2], only_healthy=True)
    (sql,) = statements
    values = [0] * sql.count("?")
    rows = db.database.execute_sql(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
    plan = " | ".join(row[3] for row in rows)
    assert "USING INDEX webhook_endpoint_by_turn" in plan
    assert "webhook_message_by_endpoint (endpoint_id=? AND due_at<?)" in plan
    assert "TEMP B-TREE" not in plan


def test_many_that_share_a_run_end_in_one_transaction(service: Service) -> None:
    ann = service.register()
    for number in range(10):
        create(ann, f"{URL}/{number}")
    user = User.get()
    file = add_file(user, 16_000)
    model = catalog.find(service.settings.models.path, "ggml-tiny.en")
    Transcription.insert_many(
        {
            "uuid": ids.uuid7(),
            "user_id": user.id,
            "file_uuid": file,
            "model": model.name,
            "model_version": model.version,
            "language": "auto",
            "format": "srt",
            "created_at": 0,
        }
        for _ in range(queue.MAX_SHARED)
    ).execute()
    outcomes.fail(claim(), "It broke")
    assert len(messages()) == 10 * queue.MAX_SHARED
