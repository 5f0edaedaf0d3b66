"""Settings: config.toml and the environment, read once into frozen records."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from whisper_service.errors import CommandError

ENV_PREFIX = "WHISPER_SERVICE_"
# Variables that are not settings: the file's path, and the address of a mirror for `get-model`.
NOT_SETTINGS = {ENV_PREFIX + "CONFIG", ENV_PREFIX + "MODEL_HUB"}
DEFAULT_FILE = Path(__file__).parent.parent / "config.toml"


def choice(default: str, *others: str) -> str:
    """Return a field for one of several words."""
    return field(default=default, metadata={"choices": (default, *others)})


def integer(default: int, low: int, high: int) -> int:
    """Return a field for whole numbers from `low` to `high`."""
    return field(default=default, metadata={"low": low, "high": high})


def mapping(*default: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Return a field for names with a value each."""
    return field(default=default, metadata={"is_mapping": True})


def optional_path() -> str:
    """Return a field for a path, or '' for none."""
    return field(default="", metadata={"is_path": True})


@dataclass(frozen=True)
class ServerSettings:
    host: str = "127.0.0.1"
    port: int = integer(8080, 0, 65535)
    threads: int = integer(16, 4, 256)
    connections_per_address: int = integer(100, 1, 10**6)
    trusted_proxy: str = ""
    cors_origins: tuple[str, ...] = ()
    public_metrics: bool = False


@dataclass(frozen=True)
class StorageSettings:
    path: Path = Path("storage")
    max_upload_bytes: int = integer(4 * 1024**3, 1, 2**50)
    reserve_bytes: int = integer(512 * 1024**2, 0, 2**50)
    quota_bytes: int = integer(0, 0, 2**50)


@dataclass(frozen=True)
class MediaSettings:
    max_duration_seconds: int = integer(12 * 3600, 1, 36 * 3600)


@dataclass(frozen=True)
class ModelsSettings:
    path: Path = Path("models")
    default: str = "ggml-base"
    aliases: tuple[tuple[str, str], ...] = mapping(
        ("whisper-1", ""),
        ("gpt-transcribe", ""),
        ("gpt-4o-transcribe", ""),
        ("gpt-4o-mini-transcribe", ""),
    )


@dataclass(frozen=True)
class WorkerSettings:
    jobs: int = integer(0, 0, 64)
    threads: int = integer(0, 0, 256)
    idle_seconds: int = integer(300, 1, 10**6)

    @property
    def engines(self) -> int:
        return self.jobs or os.cpu_count() or 1

    def threads_for(self, busy: int) -> int:
        """Return the threads of an engine while `busy` of them share the cores.

        There are never more threads than cores: each decoding step would wait for a core.
        """
        return self.threads or max(1, (os.cpu_count() or 1) // busy)


@dataclass(frozen=True)
class EngineSettings:
    native: str = choice("auto", "off")
    weights: str = choice("auto", "as stored")
    gpu: str = choice("auto", "off", *map(str, range(8)))  # a device's number


@dataclass(frozen=True)
class DecodeSettings:
    chunk_seconds: int = integer(17, 5, 27)
    beam_size: int = integer(1, 1, 8)


@dataclass(frozen=True)
class AuthSettings:
    session_hours: int = integer(24, 1, 24 * 365)
    password_min_length: int = integer(12, 1, 1024)
    password_min_uppercase: int = integer(1, 0, 16)
    password_min_lowercase: int = integer(1, 0, 16)
    password_min_digits: int = integer(1, 0, 16)
    password_min_special: int = integer(1, 0, 16)
    bcrypt_cost: int = integer(12, 4, 20)
    failures_per_account: int = integer(10, 1, 10**6)
    failures_per_account_total: int = integer(1000, 1, 10**6)
    failures_per_address: int = integer(100, 1, 10**6)
    registrations_per_address: int = integer(100, 1, 10**6)


@dataclass(frozen=True)
class LimitsSettings:
    files_per_request: int = integer(20, 1, 1000)
    unfinished_per_user: int = integer(1000, 1, 10**6)
    unfinished_per_file: int = integer(100, 1, 1000)
    uploads_per_user: int = integer(20, 1, 10**6)
    upload_hours: int = integer(24, 1, 24 * 365)


@dataclass(frozen=True)
class BillingSettings:
    initial_token_balance: int = integer(1000, 0, 10**15)


@dataclass(frozen=True)
class WebhooksSettings:
    enabled: bool = False
    allow_private: bool = False


@dataclass(frozen=True)
class WatchSettings:
    path: str = optional_path()
    user: str = ""
    model: str = "ggml-base"
    language: str = "auto"
    formats: tuple[str, ...] = ("srt",)

    @property
    def enabled(self) -> bool:
        return bool(self.path)


@dataclass(frozen=True)
class ClusterSettings:
    scheduler: str = ""
    certificates: str = optional_path()
    most_engines: int = integer(256, 1, 4096)

    @property
    def enabled(self) -> bool:
        return bool(self.scheduler)


@dataclass(frozen=True)
class Config:
    server: ServerSettings = ServerSettings()
    storage: StorageSettings = StorageSettings()
    media: MediaSettings = MediaSettings()
    models: ModelsSettings = ModelsSettings()
    worker: WorkerSettings = WorkerSettings()
    engine: EngineSettings = EngineSettings()
    decode: DecodeSettings = DecodeSettings()
    auth: AuthSettings = AuthSettings()
    limits: LimitsSettings = LimitsSettings()
    billing: BillingSettings = BillingSettings()
    webhooks: WebhooksSettings = WebhooksSettings()
    watch: WatchSettings = WatchSettings()
    cluster: ClusterSettings = ClusterSettings()

    @property
    def local_engines(self) -> int:
        """The engines on this machine: by default one for each core, or none with a cluster."""
        return 0 if self.cluster.enabled and not self.worker.jobs else self.worker.engines


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """Read the settings. The environment overrides the file, which overrides the defaults.

    Without `path` the file is WHISPER_SERVICE_CONFIG's, or else the repository's own. Raises
    CommandError, which names the setting, for a file that cannot be read, an unknown key, a wrong
    type or a value out of range.
    """
    path = path or Path(environ.get(ENV_PREFIX + "CONFIG") or DEFAULT_FILE)
    tables = _read(path)
    _add_environment(tables, environ)
    sections = {section.name: section for section in fields(Config)}
    for name, table in tables.items():
        if name not in sections or not isinstance(table, dict):
            raise CommandError(f"Unknown section [{name}] in {path.name}")
    root = path.resolve().parent
    values: dict[str, Any] = {
        name: _parse_section(section, tables.get(name, {}), root)
        for name, section in sections.items()
    }
    return Config(**values)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CommandError(f"Cannot read the configuration {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"{path} is not valid TOML: {error}") from error


def _add_environment(tables: dict[str, Any], environ: Mapping[str, str]) -> None:
    for variable, text in environ.items():
        if not variable.startswith(ENV_PREFIX) or variable in NOT_SETTINGS:
            continue
        section, _, key = variable.removeprefix(ENV_PREFIX).lower().partition("_")
        tables.setdefault(section, {})[key] = _Text(text)


class _Text(str):
    """A value from the environment, where numbers are text as well."""

    __slots__ = ()


def _parse_section(section: Field[Any], table: Mapping[str, object], root: Path) -> object:
    kind: Any = type(section.default)
    settings = {setting.name: setting for setting in fields(kind)}
    for key in table:
        if key not in settings:
            raise CommandError(f"Unknown setting {section.name}.{key}")
    values = {key: table.get(key, setting.default) for key, setting in settings.items()}
    return kind(
        **{
            key: _parse_value(f"{section.name}.{key}", settings[key], value, root)
            for key, value in values.items()
        }
    )


def _parse_value(name: str, setting: Field[Any], value: object, root: Path) -> object:
    if isinstance(setting.default, bool):
        return _parse_bool(name, value)
    if setting.metadata.get("is_mapping"):
        return _parse_mapping(name, value)
    if isinstance(setting.default, tuple):
        return _parse_strings(name, value)
    if isinstance(setting.default, int):
        return _parse_int(name, setting, value)
    if choices := setting.metadata.get("choices"):
        return _parse_choice(name, choices, value)
    if not isinstance(value, str | Path) or not (str(value).strip() or setting.default == ""):
        raise CommandError(f"{name} must be a non-empty string, not {value!r}")
    text = str(root / value if setting.metadata.get("is_path") and value else value)
    return root / text if isinstance(setting.default, Path) else text


def _parse_bool(name: str, value: object) -> bool:
    if isinstance(value, _Text):
        value = {"true": True, "false": False}.get(value.lower(), value)
    if not isinstance(value, bool):
        raise CommandError(f"{name} must be true or false, not {value!r}")
    return value


def _parse_strings(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, _Text):
        value = value.split()
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise CommandError(f"{name} must be a list of strings, not {value!r}")
    return tuple(value)


def _parse_mapping(name: str, value: object) -> tuple[tuple[str, str], ...]:
    """Return pairs of strings, from a table or, in the environment, from words with a = each."""
    if isinstance(value, _Text):
        value = dict(word.partition("=")[::2] for word in value.split())
    pairs = tuple(value.items()) if isinstance(value, dict) else value
    if not isinstance(pairs, tuple) or not all(isinstance(each[1], str) for each in pairs):
        raise CommandError(f"{name} must be a table of strings, not {value!r}")
    return pairs


def _parse_choice(name: str, choices: tuple[str, ...], value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value not in choices:
        known = " or ".join(f'"{word}"' for word in choices)
        raise CommandError(f"{name} must be {known}, not {value!r}")
    return str(value)


def _parse_int(name: str, setting: Field[Any], value: object) -> int:
    low, high = setting.metadata["low"], setting.metadata["high"]
    if isinstance(value, _Text) and value.strip().lstrip("-").isdecimal():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise CommandError(f"{name} must be a whole number from {low} to {high}, not {value!r}")
    return value
