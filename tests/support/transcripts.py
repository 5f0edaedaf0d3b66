"""Completed transcriptions that no engine made."""

import time

from whisper_service import ids
from whisper_service.db import write_transaction
from whisper_service.tables import StoredTranscript, Transcription, User
from whisper_service.transcripts.transcript import Segment, Transcript


def transcript(text: str, segments: int = 1) -> Transcript:
    parts = [
        Segment(n, n + 1, text, [1, 2], -0.25, 1.0, 0.0, language="en") for n in range(segments)
    ]
    return Transcript(" ".join([text] * segments), "en", float(segments), parts)


def finish(file_uuid: str, *made: Transcript, format_name: str = "srt") -> list[str]:
    """Store transcripts of a file, each with a completed transcription; return their uuids."""
    uuids = []
    with write_transaction():
        for each in made:
            of = {"file_uuid": file_uuid, "model": "ggml-tiny.en", "model_version": "1"}
            stored = StoredTranscript.create(**of, language="auto", data=each.to_json())
            uuids.append(ids.uuid7())
            Transcription.create(
                **of,
                uuid=uuids[-1],
                user_id=User.get().id,
                language="auto",
                format=format_name,
                status="completed",
                created_at=int(time.time()),
                processed_at=int(time.time()),
                transcript_id=stored.id,
            )
    return uuids
