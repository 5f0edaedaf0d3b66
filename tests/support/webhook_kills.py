"""kill -9 of a real service while transcriptions end and their webhooks are sent."""

import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import requests

from tests.support.database import rows
from tests.support.harness import seeded
from tests.support.receiver import Received, Receiver, answer, receiving
from tests.support.recordings import sound
from tests.support.site import Client, Over, Site, drain
from tests.support.waiting import until
from tests.support.webhooks import ON

ENDPOINTS = 2  # of each user
LONGEST_LIFE = 0.8
ENDED = (
    "SELECT username, transcription.uuid, 'transcription.' || status FROM transcription "
    "JOIN user ON user.id = user_id WHERE status IN ('completed', 'failed')"
)


@dataclass
class Customer:
    """Orders until the attack is over, deletes some recordings, and knows its secrets."""

    client: Client
    random: Random
    secrets: dict[str, str] = field(default_factory=dict)  # by the path of the endpoint
    hooks: list[str] = field(default_factory=list)

    def subscribe(self, receiver: Receiver) -> None:
        for number in range(ENDPOINTS):
            path = f"/{self.name}/{number}"
            url = f"http://127.0.0.1:{receiver.port}{path}"
            hook = self.client.ask("POST", "/webhook", json={"url": url})
            self.secrets[path] = hook["secret"]
            self.hooks.append(hook["uuid"])

    def retry_at_once(self) -> None:
        """Make all that waits due: a message that failed twice waits for a minute."""
        for hook in self.hooks:
            for enabled in (False, True):
                self.client.ask("PATCH", f"/webhook/{hook}", json={"enabled": enabled})

    @property
    def name(self) -> str:
        return self.client.account["username"]

    def live(self) -> None:
        with suppress(Over, requests.RequestException):
            while not self.client.site.over.is_set():
                file = self.client.upload(sound(self.random, 0.3))
                self.client.order(file, format=["srt", "vtt"])
                if self.random.random() < 0.3:
                    self._delete(file)

    def _delete(self, file: str) -> None:
        """Delete it; after a kill nobody knows whether it is deleted already."""
        headers = {"Authorization": self.client.authorization}
        with suppress(requests.RequestException):
            url = f"{self.client.site.url()}/file/{file}"
            requests.delete(url, headers=headers, timeout=60)


@contextmanager
def living(customers: list[Customer]) -> Iterator[None]:
    threads = [threading.Thread(target=customer.live) for customer in customers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        customers[0].client.site.over.set()
        for thread in threads:
            thread.join()


def attack(folder: Path, kills: int, *, broken: str = "", failures: float = 0) -> tuple[int, int]:
    """Kill a service again and again; return how many messages there were, and came.

    The receiver fails with a probability of `failures`, and gets those messages later.
    """
    random = seeded()
    with receiving() as receiver, ExitStack() as stack:
        site = stack.enter_context(Site(folder, broken=broken, seconds=0.02, **ON))
        customers = [
            Customer(Client(site, name), seeded(n)) for n, name in enumerate(("ann", "bob"))
        ]
        for customer in customers:
            stack.callback(customer.client.close)
            customer.subscribe(receiver)

        def behave(connection: socket.socket) -> None:
            answer(500 if random.random() < failures else 204)(connection)

        receiver.behave = behave
        with living(customers):
            for _ in range(kills):
                time.sleep(random.uniform(0, LONGEST_LIFE))
                site.kill()
                site.start()
            until(lambda: receiver.received)
        drain(site.storage)
        receiver.behave = answer(204)
        for customer in customers:
            customer.retry_at_once()
        until(lambda: not rows(site.storage, "SELECT 1 FROM webhook_message"))
        assert site.stop() == 0
        wanted = {(name, uuid, kind) for name, uuid, kind in rows(site.storage, ENDED)}
    audit(receiver.received, customers, wanted)
    return ENDPOINTS * len(wanted), len(receiver.received)


def audit(received: list[Received], customers: list[Customer], wanted: set[Any]) -> None:
    """Each endpoint was told what has ended, once or repeatedly, and nothing else."""
    assert {kind for _, _, kind in wanted} == {"transcription.completed", "transcription.failed"}
    told, ids = defaultdict(set), defaultdict(set)
    for each in received:
        path = each.request_line.split()[1]
        told[path].add((path.split("/")[1], each.content["data"]["uuid"], each.content["type"]))
        ids[path].add(each.id)
    for customer in customers:
        mine = {event for event in wanted if event[0] == customer.name}
        for path, secret in customer.secrets.items():
            assert told[path] == mine
            assert len(ids[path]) == len(mine)
            newest = [each for each in received if each.request_line.split()[1] == path][-1]
            newest.verify(secret)
