"""The command line: see `app.py --help`."""

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
    if run not in {get_model, native_build.run}:  # whose files other users read: see deploy/
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
    # Requests want the interpreter for moments: with Python's 5 ms whoever cuts a large upload, or
    # turns many away, would keep each of the others waiting for several times that.
    sys.setswitchinterval(SWITCH_SECONDS)
    with Server(settings) as server:

        def stop(number: int, _frame: FrameType | None) -> None:
            server.stop()
            signal.signal(number, signal.SIG_DFL)  # the second time it ends at once

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        print(server.greeting(), flush=True)
        server.run()


def create_admin(settings: Config, name: str, *, promote: bool) -> None:
    """Create an administrator, or make one of an account that exists. Raises CommandError."""
    storage = Storage(settings.storage.path)
    db.open_database(storage.database, create=not storage.holds_recordings(), migrate=False)
    user = users.find(name)
    if user and not promote:
        raise CommandError(
            f"The account {user.username} exists, and whoever registered it knows its password. If "
            "it is yours, --promote makes it an administrator, ends its sessions and revokes its "
            "API keys"
        )
    if user:
        users.promote(user.uuid)
        print(f"{user.username} is an administrator now; its sessions and API keys have ended.")
        return
    if promote:
        raise CommandError(f"There is no account {name} to promote")
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
    """Print what is wrong with the database and the recordings. Raises CommandError if anything."""
    storage = _existing_storage(settings)
    db.open_database(storage.database, create=False, migrate=False)
    found = list(check.find_problems(storage))
    for line in found:
        print(line)
    if found:
        word = "problem" if len(found) == 1 else "problems"
        raise CommandError(f"{len(found)} {word}; the newest backup may have what is missing")
    print("All is well.")


def back_up(settings: Config, folder: Path) -> None:
    backup.back_up(_existing_storage(settings), folder)
    print(f"{folder} holds all of it.")


def restore(settings: Config, folder: Path) -> None:
    backup.restore(folder, Storage(settings.storage.path))
    print(f"{settings.storage.path} holds what {folder} held.")


def _existing_storage(settings: Config) -> Storage:
    """Return the storage. Raises CommandError, and creates nothing, where there is none."""
    path = settings.storage.path
    if not (path / "service.db").exists():
        raise CommandError(f"{path} holds no service.db")
    return Storage(path)


def _read_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise CommandError("The two passwords differ")
    return password


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="app.py", description="A Whisper transcription service.")
    parser.add_argument("--config", type=Path, metavar="FILE", help="instead of config.toml")
    parser.set_defaults(run=serve)
    commands = parser.add_subparsers()

    def add(name: str, run: Callable[..., None], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text)
        command.set_defaults(run=run)
        return command

    add("serve", serve, "answer requests (this is the default)")
    admin = add("create-admin", create_admin, "create an administrator")
    admin.add_argument("name")
    admin.add_argument("--promote", action="store_true", help="make one of an account that exists")
    model = add("get-model", get_model, "download a model; one to start with if none")
    model.add_argument("name", nargs="?")
    add("native", native_build.run, "build the engine for this machine's processor")
    add("check", check_storage, "look whether the database and all recordings are sound")
    copy = add("backup", back_up, "copy everything to a new folder, while the service runs")
    copy.add_argument("folder", type=Path)
    bring = add("restore", restore, "bring a backup into an empty storage folder")
    bring.add_argument("folder", type=Path)
    show = add("demo", demo.run, "take a recording from upload to subtitles")
    show.add_argument("recording", nargs="?", type=Path, metavar="file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
