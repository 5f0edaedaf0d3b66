"""Requests that wait for the language of a recording."""

from collections.abc import Callable

from whisper_service.errors import InvalidRequest, TooManyRequests, Unavailable
from whisper_service.files import library
from whisper_service.jobs.language_detector import Detection
from whisper_service.models.catalog import ModelFile
from whisper_service.tables import User
from whisper_service.web import waiting
from whisper_service.web.auth import current_user
from whisper_service.web.services import Services, services
from whisper_service.whisper.protocol import LanguageDetected

GONE = "The client closed the connection"
ENDS = "The server is shutting down"


def detect(file_uuid: str, model: ModelFile) -> LanguageDetected | None:
    """Return the language of a file of the user's; None if nobody speaks in its beginning.

    Raises NotFound for a file that was deleted, InvalidRequest for one that cannot be converted,
    TooManyRequests, Unavailable when the service ends or the engine fails.
    """
    running, user, is_gone = services(), current_user(), waiting.disconnect_check()
    refusal = TooManyRequests("Too many of your requests wait for a language", 10)
    with running.detections.place(user.id, refusal):
        samples = _wait_for_wav(running, user, file_uuid, is_gone)
        detection = Detection(user.id, file_uuid, samples, model)
        running.worker.languages.add(detection)
        running.worker.wake()
        try:
            return _wait(running, detection, is_gone)
        finally:
            running.worker.languages.cancel(detection)


def _wait_for_wav(
    running: Services, user: User, file_uuid: str, is_gone: Callable[[], bool]
) -> int:
    """Wait until a file can be transcribed. Return its number of samples."""
    running.worker.wake()
    while not is_gone():
        file = library.find_owned(user, file_uuid)
        if file.samples is not None:
            return int(file.samples)
        if file.status == "failed":
            raise InvalidRequest(f"The file cannot be transcribed: {file.error}")
        if not running.worker.changes.wait_for_change(waiting.LOOK_SECONDS):
            raise Unavailable(ENDS)
    raise Unavailable(GONE)


def _wait(
    running: Services, detection: Detection, is_gone: Callable[[], bool]
) -> LanguageDetected | None:
    while not is_gone():
        if detection.result.done():
            return detection.result.result()
        if not running.worker.changes.wait_for_change(waiting.LOOK_SECONDS):
            raise Unavailable(ENDS)
    raise Unavailable(GONE)
