"""The command line: see `app.py --help`."""

import argparse
import getpass
import logging
import signal
import sys
from pathlib import Path
from types import FrameType

from whisper_service import config, db, demo, model_sources, native_build, users
from whisper_service.config import Config
from whisper_service.errors import CommandError, ServiceError
from whisper_service.server import Server
from whisper_service.storage import Storage


def main() -> int:
    arguments = _parse()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a line for each request in a rush
    try:
        settings = config.load(arguments.config)
        if arguments.command == "create-admin":
            create_admin(settings, arguments.name)
        elif arguments.command == "get-model":
            get_model(settings, arguments.name)
        elif arguments.command == "native":
            native_build.run(settings)
        elif arguments.command == "demo":
            demo.run(settings, arguments.file)
        else:
            serve(settings)
    except (CommandError, ServiceError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def serve(settings: Config) -> None:
    with Server(settings) as server:

        def stop(number: int, _frame: FrameType | None) -> None:
            server.stop()
            signal.signal(number, signal.SIG_DFL)  # the second time it ends at once

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        print(server.greeting(), flush=True)
        server.run()


def create_admin(settings: Config, name: str) -> None:
    """Make an administrator, or make one of an account that is there."""
    db.open_database(Storage(settings.storage.path).database)
    user = users.find(name)
    if user:
        users.promote(user)
        print(f"{user.username} is an administrator now.")
        return
    users.check_username(name)
    password = _read_password()
    balance = settings.billing.initial_token_balance
    users.register(name, password, settings.auth, balance, is_admin=True)
    print(f"The administrator {name} was created.")


def get_model(settings: Config, name: str | None) -> None:
    settings.models.path.mkdir(parents=True, exist_ok=True)
    if name:
        model_sources.fetch(name, settings.models.path)
    else:
        model_sources.fetch_starter(settings.models.path)


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
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("serve", help="answer requests (this is the default)")
    admin = commands.add_parser("create-admin", help="make or promote an administrator")
    admin.add_argument("name")
    model = commands.add_parser("get-model", help="download a model; one to start with if none")
    model.add_argument("name", nargs="?")
    commands.add_parser("native", help="build the engine for this machine's processor")
    show = commands.add_parser("demo", help="take a recording from upload to subtitles")
    show.add_argument("file", nargs="?", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
