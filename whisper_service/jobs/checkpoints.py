"""Transcribed chunks of a transcript that is not finished, from which the next run continues."""

import json
from dataclasses import asdict
from typing import Any

from peewee import fn

from whisper_service.tables import UNFINISHED, Checkpoint, Table, Transcription
from whisper_service.whisper.chunking import Chunk
from whisper_service.whisper.protocol import Transcribed


def key(row: Any) -> dict[str, str]:  # noqa: ANN401 - a job or a row of several tables
    """Return what a transcript depends on, besides the recording's bytes, which never change."""
    names = ("file_uuid", "model", "model_version", "language", "options")
    return {name: getattr(row, name) for name in names}


def save(of: dict[str, str], chunk: Chunk, answer: Transcribed) -> None:
    """Keep what the engine answered for a chunk. A second time it is the same answer."""
    Checkpoint.insert(
        **of, start=chunk.start, stop=chunk.stop, data=json.dumps(asdict(answer))
    ).on_conflict_ignore().execute()


def saved(of: dict[str, str]) -> dict[Chunk, Transcribed]:
    rows = Checkpoint.select().where(*matching(Checkpoint, of))
    return {Chunk(row.start, row.stop): Transcribed.from_dict(json.loads(row.data)) for row in rows}


def transcribed_samples(of: dict[str, str]) -> int:
    """Return how many samples the checkpoints cover."""
    covered = Checkpoint.select(fn.SUM(Checkpoint.stop - Checkpoint.start))
    return covered.where(*matching(Checkpoint, of)).scalar() or 0


def clear(of: dict[str, str]) -> None:
    """Delete them. Runs in the transaction that makes them worthless."""
    Checkpoint.delete().where(*matching(Checkpoint, of)).execute()


def clear_unwanted(of: dict[str, str]) -> None:
    """Delete them unless a transcription still waits for the transcript."""
    waiting = Transcription.select().where(
        *matching(Transcription, of), Transcription.status.in_(UNFINISHED)
    )
    if not waiting.exists():
        clear(of)


def matching(table: type[Table], of: dict[str, str]) -> list[Any]:
    return [getattr(table, name) == value for name, value in of.items()]
