"""Accounts and recordings that are deleted while requests and conversions for them are under way.

Whatever was under way must end without a trace in what a stranger makes at the same moment.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from time import sleep
from typing import Any

import requests

from tests.support.harness import Figure, scale, seeded
from tests.support.recordings import as_wav, sound
from tests.support.service import PASSWORD
from tests.support.site import MODEL, Site, drain
from whisper_service import db
from whisper_service.commands import check
from whisper_service.files.storage import Storage

NEW = "Another-Horse-10"
CHANGE = {"old_password": PASSWORD, "password": NEW}
LONGEST_PAUSE = 0.05
THREADS = 8
UNLIMITED = {
    f"WHISPER_SERVICE_AUTH_{name}": "1000000"
    for name in (
        "REGISTRATIONS_PER_ADDRESS",
        "FAILURES_PER_ACCOUNT",
        "FAILURES_PER_ACCOUNT_TOTAL",
        "FAILURES_PER_ADDRESS",
    )
}


@dataclass
class Account:
    name: str
    session: str
    uuid: str


class Attack:
    def __init__(self, site: Site, random: Random) -> None:
        self.url = site.url()
        self.random = random
        self.statuses = Counter[str]()
        self._number = 0

    def ask(self, method: str, path: str, **arguments: Any) -> requests.Response:
        response = requests.request(method, self.url + path, timeout=60, **arguments)
        assert response.status_code < 500, (method, path, response.text)
        self.statuses[f"{response.status_code}"] += 1
        return response

    def register(self) -> Account:
        self._number += 1
        name = f"user-{self._number}"
        body = {"username": name, "password": PASSWORD}
        answer = self.ask("POST", "/user/register", json=body).json()
        return Account(name, f"Basic {answer['session_id']}", answer["uuid"])

    def upload(self, account: Account, samples: bytes) -> dict[str, Any]:
        response = self.ask(
            "POST",
            "/file",
            headers={"Authorization": account.session},
            files={"file": ("sound.wav", as_wav(samples))},
        )
        return response.json()["files"][0] if response.ok else {}

    def one_round(self, pool: ThreadPoolExecutor) -> None:
        victim = self.register()
        samples = sound(self.random, self.random.choice((0.3, 5)))
        file = self.upload(victim, samples)["uuid"]
        order = {"uuid": file, "model": MODEL, "format": ["srt", "vtt"]}
        queued = self.ask(
            "POST", "/transcribe", headers={"Authorization": victim.session}, json=order
        ).json()["transcriptions"]
        credentials: list[str] = []
        under_way = [
            pool.submit(self._after_a_while, self.random.random(), act)
            for act in (
                lambda: self._log_in(victim, credentials),
                lambda: self._issue_key(victim, credentials),
                lambda: self._of(victim, "PATCH", "/user", json={"username": victim.name + "x"}),
                lambda: self._of(victim, "PATCH", "/user", json=CHANGE),
                lambda: self._of(victim, "DELETE", "/user", json={"password": PASSWORD}),
                lambda: self._of(victim, "DELETE", "/user", json={"password": NEW}),
                lambda: self._of(victim, "POST", "/transcribe", json=order),
                lambda: self._read(queued[0]["uuid"], file),
                lambda: self._read(file, file),
            )
        ]
        stranger = self.register()
        theirs = sound(self.random, 0.3)
        uploaded = self.upload(stranger, theirs)
        for future in under_way:
            future.result()
        self._assert_untouched(stranger, uploaded["uuid"], theirs, credentials)

    def _after_a_while(self, share: float, act: Any) -> None:
        sleep(share * LONGEST_PAUSE)
        act()

    def _of(self, account: Account, method: str, path: str, **arguments: Any) -> Any:
        headers = {"Authorization": account.session}
        return self.ask(method, path, headers=headers, **arguments)

    def _log_in(self, account: Account, credentials: list[str]) -> None:
        body = {"username": account.name, "password": PASSWORD}
        response = self.ask("POST", "/user/login", json=body)
        if response.ok:
            credentials.append(f"Basic {response.json()['session_id']}")

    def _issue_key(self, account: Account, credentials: list[str]) -> None:
        response = self._of(account, "POST", "/user/token", json={"name": "key"})
        if response.ok:
            credentials.append(f"Bearer {response.json()['token']}")

    def _read(self, uuid: str, file: str) -> None:
        """Poll: the words of another file must never come."""
        for _ in range(5):
            response = self.ask("GET", f"/transcribe/{uuid}")
            if response.ok:
                answer = response.json()
                for row in answer.get("transcriptions", [answer]):
                    assert row["file_uuid"] == file

    def _assert_untouched(
        self, stranger: Account, file: str, samples: bytes, credentials: list[str]
    ) -> None:
        profile = self._of(stranger, "GET", "/user").json()
        assert (profile["uuid"], profile["username"]) == (stranger.uuid, stranger.name)
        assert len(self._of(stranger, "GET", "/user/session").json()["sessions"]) == 1
        assert self._of(stranger, "GET", "/user/token").json()["tokens"] == []
        (only,) = self._of(stranger, "GET", "/file").json()["files"]
        assert only["uuid"] == file
        assert only["duration_seconds"] in {None, len(samples) / 32_000}
        assert self.ask("GET", f"/file/{file}").ok
        for credential in credentials:
            answer = self.ask("GET", "/user", headers={"Authorization": credential})
            assert not answer.ok or answer.json()["uuid"] != stranger.uuid


def attack(folder: Path, rounds: int) -> Counter[str]:
    with Site(folder, **UNLIMITED) as site, ThreadPoolExecutor(THREADS) as pool:
        attack = Attack(site, seeded())
        for _ in range(rounds):
            attack.one_round(pool)
        drain(site.storage)
        assert site.stop() == 0
    storage = Storage(site.storage)
    db.open_database(storage.database)
    try:
        assert list(check.find_problems(storage)) == []
    finally:
        db.database.close()
    return attack.statuses


def test_deleted_while_others_come(tmp_path: Path, figure: Figure) -> None:
    rounds = scale(1000, 8)
    statuses = attack(tmp_path, rounds)
    figure(
        f"accounts and files deleted under way, {rounds} rounds",
        "0 foreign writes, 0 answers of 500",
        f"0 foreign writes, 0 of 500; {dict(statuses)}",
    )
    assert {"200", "401", "404"} <= statuses.keys()
