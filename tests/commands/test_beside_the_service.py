"""Commands that write while the service does: other processes, on one database."""

import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import requests

from tests.support.commands import run
from tests.support.database import rows
from tests.support.live import PROGRAM, measured
from tests.support.service import PASSWORD
from tests.support.site import Site

ADMINS = 5


def is_sound(storage: Path) -> bool:
    with closing(sqlite3.connect(storage / "service.db")) as database:
        return database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_what_a_command_and_the_service_write_is_all_there(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool, Site(tmp_path) as site:  # which ends them in any case
        keys = [pool.submit(issue_keys, site, f"user-{number}") for number in range(2)]
        path = {"WHISPER_SERVICE_STORAGE_PATH": str(site.storage)}
        for number in range(ADMINS):
            done = run("create-admin", f"admin-{number}", typed=PASSWORD, **path)
            assert done.returncode == 0, done.stderr
            assert run("create-admin", f"admin-{number}", "--promote", **path).returncode == 0
        site.over.set()
        issued = sum(future.result() for future in keys)
        assert issued > ADMINS
        assert is_sound(site.storage)
        assert rows(site.storage, "SELECT sum(is_admin) FROM user") == [(ADMINS,)]
        assert rows(site.storage, "SELECT count(*) FROM api_token") == [(issued,)]
        assert site.stop() == 0
    assert is_sound(site.storage)
    done = run("check", WHISPER_SERVICE_STORAGE_PATH=str(site.storage))
    assert done.stdout == "No problems found.\n"


def issue_keys(site: Site, username: str) -> int:
    """Write as fast as the service lets one, and count what it said yes to."""
    account = {"username": username, "password": PASSWORD}
    with requests.Session() as http:
        answer = http.post(f"{site.url()}/user/register", json=account, timeout=30).json()
        headers = {"Authorization": f"Basic {answer['session_id']}"}
        count = 0
        while not site.over.is_set():
            key = {"name": str(count)}
            assert http.post(f"{site.url()}/user/token", json=key, headers=headers, timeout=30).ok
            count += 1
    return count


def test_a_new_database_is_made_once(tmp_path: Path) -> None:
    environ = {**measured(), "PATH": "/usr/bin:/bin", "WHISPER_SERVICE_STORAGE_PATH": str(tmp_path)}
    commands = [
        subprocess.Popen(
            [*PROGRAM, "create-admin", f"admin-{number}"],
            env=environ,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(ADMINS)
    ]
    said = [command.communicate(PASSWORD, timeout=60)[1] for command in commands]
    assert said == [""] * ADMINS
    assert rows(tmp_path, "SELECT count(*) FROM user") == [(ADMINS,)]
