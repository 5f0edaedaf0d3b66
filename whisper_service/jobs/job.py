"""What the worker claims.

A job is all pending transcriptions of one file with one model, language and options: they share one
transcript. Each is paid in the transaction that claims it, and given its tokens back in the
transaction that takes it out of the run without a result.
"""

from dataclasses import dataclass

from whisper_service.transcript_key import TranscriptKey


@dataclass(frozen=True)
class Job:
    """One transcript to make, for all the transcriptions that were claimed together.

    `samples` are counted at 16 kHz; in `attempts` earlier runs the engine crashed or hung.
    """

    claim: str
    user_id: int
    key: TranscriptKey
    samples: int
    attempts: int = 0
