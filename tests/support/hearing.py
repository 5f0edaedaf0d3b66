"""Transcribe with the real engine, without a service."""

from pathlib import Path

from whisper_service.files import transcoding
from whisper_service.jobs.job import Job
from whisper_service.jobs.run import Run
from whisper_service.models import catalog
from whisper_service.transcript_key import TranscriptKey
from whisper_service.transcripts.transcript import Transcript
from whisper_service.whisper.engine import Engine


def hear(engine: Engine, model: Path, wav: Path, language: str = "en") -> Transcript:
    """Transcribe a WAV of 16 kHz, mono, s16le."""
    job = Job("", 0, TranscriptKey("", "", "", language, ""), transcoding.count_samples(wav))
    run = Run(job, catalog.find(model.parent, model.stem), language, 14, {})
    while not run.is_complete:
        task = run.next_task()
        request = task.request(wav, run.language, threads=2)
        run.complete(task, engine.ask(model, request, 60, lambda: True))
        if run.needs_plan:
            run.begin(run.plan())
    return run.transcript()
