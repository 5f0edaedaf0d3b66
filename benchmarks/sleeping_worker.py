"""A cluster's worker whose engines sleep for as long as real ones would take.

Run as `python -m benchmarks.sleeping_worker URL ENGINES SECONDS_PER_SECOND LOG`. What each engine
slept is added to the log: when it ended, and how long, in seconds.
"""

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from whisper_service import config
from whisper_service.audio import FRAME_SAMPLES, SAMPLE_RATE
from whisper_service.cluster import address, machine, program, worker
from whisper_service.config import WorkerSettings
from whisper_service.transcripts.transcript import Segment
from whisper_service.whisper.protocol import Answer, FindSpeech, Request, SpeechFound, Transcribed
from whisper_service.whisper.vad import LEAD

SEGMENT_SECONDS = 4
TEXT, TOKENS = " What is said in a segment of some four seconds, or a bit more.", list(range(20))
SEARCH_SECONDS = 0.2  # for a block of a minute


class SleepingEngine:
    """Answers with as many words as speech has."""

    def __init__(self, _environment: object) -> None:
        self.model: Path | None = None

    def ask(
        self,
        model: Path,
        request: Request,
        _seconds: float,
        _wanted: Callable[[], bool],
        *,
        is_prebuilt: bool,  # noqa: ARG002 - as the real one has it
    ) -> Answer:
        self.model = model
        length = len(request.samples) // 2 / SAMPLE_RATE
        if isinstance(request, FindSpeech):
            time.sleep(SEARCH_SECONDS)
            frames = (len(request.samples) // 2 - LEAD) // FRAME_SAMPLES
            return SpeechFound([255 if index % 600 < 560 else 0 for index in range(frames)])
        _sleep(length * PER_SECOND)
        starts = range(0, int(length), SEGMENT_SECONDS)
        return Transcribed("en", [_segment(start, length) for start in starts])

    def close(self) -> None:
        self.model = None


def _segment(start: float, length: float) -> Segment:
    end = min(start + SEGMENT_SECONDS, length)
    return Segment(start, end, TEXT, TOKENS, -0.2, 1.5, 0.0, language="en")


def _sleep(seconds: float) -> None:
    time.sleep(seconds)
    with LOCK, LOG.open("a") as file:
        file.write(f"{time.time()} {seconds}\n")


def main() -> None:
    settings = replace(config.load(), worker=WorkerSettings(jobs=int(sys.argv[2])))
    security = address.check(replace(settings.cluster, scheduler=sys.argv[1]))
    machine.Engine = SleepingEngine  # type: ignore[misc, assignment]
    program.run(worker.work(sys.argv[1], None, security, machine.Machine(settings)))


if __name__ == "__main__":
    PER_SECOND, LOG, LOCK = float(sys.argv[3]), Path(sys.argv[4]), threading.Lock()
    program.main(main)
