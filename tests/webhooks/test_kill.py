"""A real service that is killed loses no message, and sends none for what did not happen."""

from pathlib import Path

from tests.support.database import rows
from tests.support.receiver import answer, receiving
from tests.support.site import Client, Site
from tests.support.waiting import until
from tests.support.webhook_kills import attack
from tests.support.webhooks import ON


def test_killed_while_transcriptions_end(tmp_path: Path) -> None:
    attack(tmp_path, 2)


def test_ended_while_a_receiver_hangs(tmp_path: Path) -> None:
    with receiving() as receiver, Site(tmp_path, **ON) as site:
        receiver.behave = receiver.hang
        ann = Client(site, "ann")
        hook = ann.ask("POST", "/webhook", json={"url": receiver.url})
        ann.ask("POST", f"/webhook/{hook['uuid']}/test")
        until(lambda: receiver.received)
        assert site.stop() == 0
        receiver.behave = answer(204)
        site.start()
        until(lambda: len(receiver.received) == 2)
        first, second = receiver.received
        assert first.id == second.id
        assert first.body == second.body
        waiting = "SELECT 1 FROM webhook_message"
        until(lambda: not rows(site.storage, waiting))
        (attempt,) = ann.ask("GET", f"/webhook/{hook['uuid']}")["attempts"]
        assert attempt["attempt"] == 1
        ann.close()
        assert site.stop() == 0
