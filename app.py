"""The command line; `app.py --help` lists the commands."""

import argparse
import os
import sqlite3
import sys
from importlib import import_module
from pathlib import Path

from peewee import DatabaseError

from whisper_service import config, logs
from whisper_service.errors import CommandError, ServiceError

# Other users read what these write: see deploy/.
PUBLIC = {"get_model", "native", "transcribe"}


def main() -> int:
    options = vars(_parse())
    (module, function), file = options.pop("run"), options.pop("config")
    if module not in PUBLIC:
        os.umask(0o077)
    logs.set_up()
    try:
        # Imported only now, for most commands need little, and the service takes a second.
        command = getattr(import_module(f"whisper_service.commands.{module}"), function)
        command(config.load(file), **options)
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


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="app.py", description="A Whisper transcription service.")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="use this file instead of config.toml"
    )
    parser.set_defaults(run=("serve", "run"))
    commands = parser.add_subparsers()

    def add(name: str, text: str, module: str, function: str = "run") -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text)
        command.set_defaults(run=(module, function))
        return command

    add("serve", "run the service (the default)", "serve")
    admin = add("create-admin", "create an administrator", "create_admin")
    admin.add_argument("name")
    admin.add_argument("--promote", action="store_true", help="promote an existing account")
    model = add(
        "get-model", "download a model, by default a starter model if there is none", "get_model"
    )
    model.add_argument("name", nargs="?")
    native = add("native", "build a faster engine for this machine's processor", "native")
    native.add_argument("--background", action="store_true", help=argparse.SUPPRESS)
    native.add_argument("--gpu", help="also build for GPUs: vulkan (of any vendor) or cuda")
    native.add_argument("--level", help="build for a level of x86-64, such as x86-64-v3")
    add("check", "check the database and all recordings", "check")
    copy = add("backup", "copy everything to a new folder; the service may be running", "backup")
    copy.add_argument("folder", type=Path)
    back = add("restore", "copy a backup into an empty storage folder", "backup", "run_restore")
    back.add_argument("folder", type=Path)
    show = add("demo", "transcribe a recording and show each request", "demo")
    show.add_argument("recording", nargs="?", type=Path, metavar="file")
    local = add("transcribe", "write what is said in recordings beside them", "transcribe")
    local.add_argument("files", nargs="+", type=Path, metavar="file")
    local.add_argument(
        "--format",
        default="srt",
        dest="formats",
        help="such as srt (the default), vtt or txt; several in quotes: 'srt txt'",
    )
    local.add_argument("--model", help="by default that of config.toml, or else the smallest one")
    local.add_argument("--language", default="auto", metavar="CODE", help="such as en or de")
    local.add_argument("--force", action="store_true", help="replace results that exist already")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
