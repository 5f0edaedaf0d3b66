"""Transcribed chunks of a transcript that is not finished, from which the next run continues."""

import json
from dataclasses import asdict

from whisper_service.tables import UNFINISHED, Checkpoint, Transcription
from whisper_service.transcript_key import TranscriptKey
from whisper_service.whisper.chunking import Chunk
from whisper_service.whisper.protocol import Transcribed

# The error code of a transcription that may be resumed, although it has ended.
ABANDONED = "client_gone"


def save(key: TranscriptKey, chunk: Chunk, answer: Transcribed) -> None:
    """Keep what the engine answered for a chunk. A second time it is the same answer."""
    Checkpoint.insert(
        **key.values(), start=chunk.start, stop=chunk.stop, data=json.dumps(asdict(answer))
    ).on_conflict_ignore().execute()


def saved(key: TranscriptKey) -> dict[Chunk, Transcribed]:
    rows = Checkpoint.select().where(*key.matching(Checkpoint))
    return {Chunk(row.start, row.stop): Transcribed.from_dict(json.loads(row.data)) for row in rows}


def clear(key: TranscriptKey) -> None:
    """Delete them. Runs in the transaction that makes them worthless."""
    Checkpoint.delete().where(*key.matching(Checkpoint)).execute()


def clear_unwanted(key: TranscriptKey) -> None:
    """Delete them unless a transcription still waits for the transcript, or may do so again."""
    may_wait = Transcription.status.in_(UNFINISHED) | (Transcription.error_code == ABANDONED)
    waiting = Transcription.select().where(*key.matching(Transcription), may_wait)
    if not waiting.exists():
        clear(key)
