"""Clients that repeat requests, in a process of their own, which disturbs no measurement.

It reads a Plan as JSON from standard input and prints what each request came to.
"""

import heapq
import json
import random
import selectors
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Kind:
    """A kind of request: how often it comes up among the others, and what is sent."""

    name: str
    weight: int
    request: str  # as Latin-1


@dataclass(frozen=True)
class Plan:
    """`clients` ask for `seconds`, each waiting `pause` after an answer.

    A request that has no answer after `patience` has failed.
    When they are `patient` they wait as long as a 429 says, and then try the same again.
    """

    url: str
    kinds: Sequence[Kind]
    clients: int
    seconds: float
    seed: int
    patience: float
    pause: float = 0.0
    source: str = "127.0.0.1"
    patient: bool = True


@dataclass(frozen=True)
class Asked:
    """A request and its answer; status 0 stands for none."""

    kind: str
    status: int
    milliseconds: float


class _Client:
    """One connection, kept as long as the server keeps it."""

    def __init__(self, plan: Plan, chance: random.Random) -> None:
        self._plan = plan
        self._chance = chance
        self.connection: socket.socket | None = None
        self.kind = self._choose()
        self.due = time.monotonic() + chance.random() * plan.pause
        self.begun = 0.0
        self._received = b""

    def ask(self) -> None:
        self.begun = time.monotonic()
        if self.connection is None:
            address = urlsplit(self._plan.url)
            target = (str(address.hostname), int(address.port or 80))
            self.connection = socket.create_connection(
                target, self._plan.patience, source_address=(self._plan.source, 0)
            )
        self._received = b""
        self.connection.sendall(self.kind.request.encode("latin-1"))

    def answer(self) -> Asked | None:
        """Read what has come; return the result once the answer is complete."""
        assert self.connection
        received = self.connection.recv(1 << 18)
        self._received += received
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not received:
            return self.done(0)
        if not found or len(body) < _number(head, b"content-length"):
            return None
        return self.done(
            int(head.split()[1]), _number(head, b"retry-after"), is_last=_is_last(head)
        )

    def done(self, status: int, wait: float = 0.0, *, is_last: bool = False) -> Asked:
        now = time.monotonic()
        asked = Asked(self.kind.name, status, (now - self.begun) * 1000)
        self.due = now + max(wait if self._plan.patient else 0, self._plan.pause)
        if status != 429 or not self._plan.patient:
            self.kind = self._choose()
        if (status == 0 or is_last) and self.connection:
            self.connection.close()
            self.connection = None
        return asked

    def _choose(self) -> Kind:
        kinds = self._plan.kinds
        return self._chance.choices(kinds, [kind.weight for kind in kinds])[0]


def _number(head: bytes, name: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(name + b": "):
            return int(line.partition(b": ")[2])
    return 0


def _is_last(head: bytes) -> bool:
    return b"\r\nconnection: close" in head.lower()


class _Crowd:
    """All clients of a plan in one loop."""

    def __init__(self, plan: Plan) -> None:
        chance = random.Random(plan.seed)  # noqa: S311 - the same each time
        self._patience = plan.patience
        self._ends = time.monotonic() + plan.seconds
        self._selector = selectors.DefaultSelector()
        self._asked: list[Asked] = []
        clients = [_Client(plan, chance) for _ in range(plan.clients)]
        self._waiting = [(client.due, number, client) for number, client in enumerate(clients)]
        heapq.heapify(self._waiting)

    def run(self) -> list[Asked]:
        while time.monotonic() < self._ends or self._selector.get_map():
            self._begin()
            for key, _ in self._selector.select(0.005):
                self._continue(*key.data)
            self._give_up()
        return self._asked

    def _begin(self) -> None:
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now < self._ends:
            _, number, client = heapq.heappop(self._waiting)
            try:
                client.ask()
            except OSError:
                self._end(number, client, client.done(0))
            else:
                assert client.connection
                self._selector.register(client.connection, selectors.EVENT_READ, (number, client))

    def _continue(self, number: int, client: _Client) -> None:
        connection = client.connection
        assert connection
        try:
            asked = client.answer()
        except OSError:
            asked = client.done(0)
        if asked:
            self._selector.unregister(connection)
            self._end(number, client, asked)

    def _give_up(self) -> None:
        late = time.monotonic() - self._patience
        for key in list(self._selector.get_map().values()):
            number, client = key.data
            if client.begun < late:
                self._selector.unregister(key.fileobj)
                self._end(number, client, client.done(0))

    def _end(self, number: int, client: _Client, asked: Asked) -> None:
        self._asked.append(asked)
        heapq.heappush(self._waiting, (client.due, number, client))


def main() -> None:
    read = json.load(sys.stdin)
    read["kinds"] = [Kind(**kind) for kind in read["kinds"]]
    asked = _Crowd(Plan(**read)).run()
    print(json.dumps([[one.kind, one.status, one.milliseconds] for one in asked]))  # noqa: T201


if __name__ == "__main__":
    main()
