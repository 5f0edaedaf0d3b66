"""Creating the first administrator, and further ones."""

import getpass
import sys

from whisper_service import db
from whisper_service.accounts import users
from whisper_service.config import Config
from whisper_service.errors import CommandError
from whisper_service.files.storage import Storage


def run(settings: Config, name: str, *, promote: bool) -> None:
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


def _read_password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Repeat password: ") != password:
        raise CommandError("The passwords differ")
    return password
