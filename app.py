"""The command line; `app.py --help` lists the commands."""

import argparse
import getpass
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from peewee import DatabaseError

from whisper_service import config, db, logs
from whisper_service.accounts import users
from whisper_service.commands import backup, check, demo, native_build
from whisper_service.config import Config
from whisper_service.errors import CommandError, ServiceError
from whisper_service.files.storage import Storage
from whisper_service.models import fetch
from whisper_service.server.server import Server

SWITCH_SECONDS = 0.0005


def main() -> int:
    options = vars(_parse())
    run, file = options.pop("run"), options.pop("config")
    if run not in {get_model, native_build.run}:  # other users read their files: see deploy/
        os.umask(0o077)
    logs.set_up()
    try:
        run(config.load(file), **options)
    except (CommandError, ServiceError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (DatabaseError, sqlite3.DatabaseError) as error:
        print(f"error: The database cannot be used: {error}; see `app.py check`", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.strerror}: {error.filename}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def serve(settings: Config) -> None:
    # Requests need the interpreter only briefly: with Python's default of 5 ms a thread that parses
    # a large upload, or rejects many requests, would delay the others by several times that.
    sys.setswitchinterval(SWITCH_SECONDS)
    with Server(settings) as server:

        def stop(number: int, _frame: FrameType | None) -> None:
            server.stop()
            signal.signal(number, signal.SIG_DFL)  # the second signal ends it at once

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        print(server.greeting(), flush=True)
        server.run()


def create_admin(settings: Config, name: str, *, promote: bool) -> None:
    """Create an administrator, or promote an existing account. Raises CommandError."""
    storage = Storage(settings.storage.path)
    db.open_database(storage.database, create=not storage.holds_recordings(), migrate=False)
    user = users.find(name)
    if user and not promote:
        raise CommandError(
            f"The account {user.username} exists, and whoever registered it knows its password. If "
            "it is yours, use --promote, which also ends its sessions and revokes its API keys"
        )
    if user:
        users.promote(user.uuid)
        print(f"{user.username} is now an administrator; its sessions and API keys were revoked.")
        return
    if promote:
        raise CommandError(f"There is no account {name}")
    users.check_username(name)
    password = _read_password()
    balance = settings.billing.initial_token_balance
    users.register(name, password, settings.auth, balance, is_admin=True)
    print(f"The administrator {name} was created.")


def get_model(settings: Config, name: str | None) -> None:
    settings.models.path.mkdir(parents=True, exist_ok=True)
    if name:
        fetch.fetch(name, settings.models.path)
    else:
        fetch.fetch_starter(settings.models.path)


def check_storage(settings: Config) -> None:
    """Print the problems of the database and the recordings. Raises CommandError if any."""
    storage = _existing_storage(settings)
    db.open_database(storage.database, create=False, migrate=False)
    found = list(check.find_problems(storage))
    for line in found:
        print(line)
    if found:
        word = "problem" if len(found) == 1 else "problems"
        raise CommandError(f"{len(found)} {word}; a recent backup may have what is missing")
    print("No problems found.")


def back_up(settings: Config, folder: Path) -> None:
    backup.back_up(_existing_storage(settings), folder)
    print(f"Backed up to {folder}.")


def restore(settings: Config, folder: Path) -> None:
    backup.restore(folder, Storage(settings.storage.path))
    print(f"Restored to {settings.storage.path}.")


def _existing_storage(settings: Config) -> Storage:
    """Return the storage. Raises CommandError, and creates nothing, if there is none."""
    path = settings.storage.path
    if not (path / "service.db").exists():
        raise CommandError(f"{path} holds no service.db")
    return Storage(path)


def _read_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Repeat password: ") != password:
        raise CommandError("The passwords differ")
    return password


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="app.py", description="A Whisper transcription service.")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="use this file instead of config.toml"
    )
    parser.set_defaults(run=serve)
    commands = parser.add_subparsers()

    def add(name: str, run: Callable[..., None], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text)
        command.set_defaults(run=run)
        return command

    add("serve", serve, "run the service (the default)")
    admin = add("create-admin", create_admin, "create an administrator")
    admin.add_argument("name")
    admin.add_argument("--promote", action="store_true", help="promote an existing account")
    model = add(
        "get-model", get_model, "download a model, by default a starter model if there is none"
    )
    model.add_argument("name", nargs="?")
    add("native", native_build.run, "build the engine for this machine's processor")
    add("check", check_storage, "check the database and all recordings")
    copy = add("backup", back_up, "copy everything to a new folder; the service may be running")
    copy.add_argument("folder", type=Path)
    back = add("restore", restore, "copy a backup into an empty storage folder")
    back.add_argument("folder", type=Path)
    show = add("demo", demo.run, "transcribe a recording and show each request")
    show.add_argument("recording", nargs="?", type=Path, metavar="file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
