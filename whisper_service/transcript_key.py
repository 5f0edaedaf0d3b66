"""What a transcript is the transcript of."""

from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True)
class TranscriptKey:
    """What a transcript depends on, besides the recording's bytes, which never change.

    `model_version` distinguishes a model file from others of the same name; `language` is what was
    asked for, `options` the text of an `Options`.
    """

    file_uuid: str
    model: str
    model_version: str
    language: str
    options: str

    @classmethod
    def of(cls, row: Any) -> Self:  # noqa: ANN401 - a row of any table that has these columns
        return cls(row.file_uuid, row.model, row.model_version, row.language, row.options)

    def values(self) -> dict[str, str]:
        """Return the values of the columns in a table that has them."""
        return asdict(self)

    def matching(self, table: Any) -> list[Any]:  # noqa: ANN401 - a table with these columns
        """Return the conditions for a row of the table to have this key."""
        return [getattr(table, name) == value for name, value in self.values().items()]


def same_key(table: Any, other: Any) -> list[Any]:  # noqa: ANN401 - tables with these columns
    """Return the conditions for rows of two tables to have the same key."""
    return [getattr(table, name) == getattr(other, name) for name in TranscriptKey.__annotations__]
