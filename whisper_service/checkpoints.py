"""What is done of a transcript that is not finished."""

import json
from dataclasses import asdict
from typing import Any

from whisper_service.chunks import Chunk
from whisper_service.db import write_transaction
from whisper_service.protocol import Transcribed
from whisper_service.tables import Checkpoint, Table


def key(row: Any) -> dict[str, str]:  # noqa: ANN401 - a job or a row of several tables
    """Name what a transcript depends on, besides the recording's bytes, which never change."""
    names = ("file_uuid", "model", "model_version", "language", "options")
    return {name: getattr(row, name) for name in names}


def save(of: dict[str, str], chunk: Chunk, answer: Transcribed) -> None:
    """Keep what the engine answered for a chunk. A second time is the same answer."""
    with write_transaction():
        Checkpoint.insert(
            **of, start=chunk.start, stop=chunk.stop, data=json.dumps(asdict(answer))
        ).on_conflict_ignore().execute()


def saved(of: dict[str, str]) -> dict[Chunk, Transcribed]:
    rows = Checkpoint.select().where(*matching(Checkpoint, of))
    return {Chunk(row.start, row.stop): Transcribed.from_dict(json.loads(row.data)) for row in rows}


def clear(of: dict[str, str]) -> None:
    """Forget it all. Runs in the transaction that makes it worthless."""
    Checkpoint.delete().where(*matching(Checkpoint, of)).execute()


def matching(table: type[Table], of: dict[str, str]) -> list[Any]:
    return [getattr(table, name) == value for name, value in of.items()]
