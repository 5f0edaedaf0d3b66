"""Transcribe with the real engine, without a service."""

from pathlib import Path

from whisper_service.files import ffmpeg
from whisper_service.jobs.queue import Job
from whisper_service.jobs.run import Run
from whisper_service.transcripts.transcript import Transcript
from whisper_service.whisper.engine import Engine


def hear(engine: Engine, model: Path, wav: Path, language: str = "en") -> Transcript:
    """Transcribe a WAV of 16 kHz, mono, s16le."""
    job = Job("", 0, "", "", "", language, ffmpeg.count_samples(wav))
    run = Run(job, language, 14, {}, engines=1)
    while not run.is_complete:
        task = run.take()
        request = task.request(wav, run.language, threads=2)
        run.give(task, engine.ask(model, request, 60, lambda: True))
    return run.transcript()
