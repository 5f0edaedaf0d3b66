"""Starting the run of a claimed job."""

import logging
from collections.abc import Callable

from whisper_service.audio import seconds_of
from whisper_service.config import Config
from whisper_service.files import speech_probabilities
from whisper_service.files.storage import Storage
from whisper_service.jobs import checkpoints
from whisper_service.jobs.job import Job
from whisper_service.jobs.run import Run
from whisper_service.models import catalog
from whisper_service.models.catalog import ModelFile

logger = logging.getLogger(__name__)


def start(
    job: Job, config: Config, storage: Storage, chunk_seconds: Callable[[ModelFile], int]
) -> Run:
    """Return the run of a job, which begins after what is saved of it already.

    `chunk_seconds` returns how long chunks may be for a model. Raises NotFound without the model.
    """
    logger.info("Job %s: %.0f s of audio", job.claim, seconds_of(job.samples))
    model = catalog.find(config.models.path, job.key.model)
    language = "en" if model.is_english_only else job.key.language
    saved = checkpoints.saved(job.key)
    known = speech_probabilities.load(storage, job.key.file_uuid, job.samples)
    seconds = chunk_seconds(model)
    run = Run(job, model, language, seconds, saved, known)
    if run.needs_plan:
        run.begin(run.plan())
    # A run is completed after a task, so one without any searches for speech once more.
    return Run(job, model, language, seconds, saved) if run.is_complete else run
