"""The language of a recording, for requests that wait for it.

One engine at a time detects languages, between two chunks of what it transcribes: one detection,
one chunk. Users take turns.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from whisper_service.audio import FRAMES_PER_SECOND, SAMPLE_RATE
from whisper_service.errors import Cancelled, InvalidRequest, NotFound, ServiceError, Unavailable
from whisper_service.files import speech_probabilities
from whisper_service.files.quota import BYTES_PER_SAMPLE
from whisper_service.files.storage import Storage
from whisper_service.jobs.run import BLOCK_FRAMES, find_speech, read_samples, speech_blocks
from whisper_service.jobs.runner import TASK_SECONDS, TASK_SECONDS_PER_SECOND
from whisper_service.jobs.slots import Slot
from whisper_service.jobs.speech_search import BLOCK_SECONDS
from whisper_service.models.catalog import ModelFile
from whisper_service.whisper.chunking import SPEECH, plan
from whisper_service.whisper.engine import Engine, EngineCrashed, EngineLost
from whisper_service.whisper.protocol import CERTAIN, DetectLanguage, LanguageDetected, SpeechFound

# The blocks of a minute that are searched for speech, and how much of it Whisper gets: its window.
SEARCHED_BLOCKS = 10
SPEECH_SECONDS = 30
MAX_BYTES = BYTES_PER_SAMPLE * SAMPLE_RATE * SPEECH_SECONDS
DETECT_SECONDS = TASK_SECONDS + TASK_SECONDS_PER_SECOND * SPEECH_SECONDS

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Detection:
    """A request for the language of a recording of `samples`, whose WAV is there.

    Its `result` is None if nobody speaks in the beginning of the recording. It fails with a
    ServiceError.
    """

    user_id: int
    file_uuid: str
    samples: int
    model: ModelFile
    result: "Future[LanguageDetected | None]" = field(default_factory=Future)
    is_wanted: bool = True


class LanguageDetector:
    """The detections that wait. Safe for threads.

    `is_idle` returns whether nothing is being transcribed, `is_running` whether to go on.
    """

    def __init__(
        self,
        storage: Storage,
        is_idle: Callable[[], bool],
        is_running: Callable[[], bool],
    ) -> None:
        self._storage = storage
        self._is_idle, self._is_running = is_idle, is_running
        self._waiting: dict[int, deque[Detection]] = {}  # by user, in the order of turns
        self._lock = threading.Lock()
        self._detecting = threading.Lock()

    def add(self, detection: Detection) -> None:
        with self._lock:
            self._waiting.setdefault(detection.user_id, deque()).append(detection)

    def cancel(self, detection: Detection) -> None:
        """Forget a detection. One that is under way ends at its next step."""
        detection.is_wanted = False
        with self._lock:
            theirs = self._waiting.get(detection.user_id, deque())
            if detection in theirs:
                theirs.remove(detection)
                if not theirs:
                    del self._waiting[detection.user_id]

    def detect_once(self, engine: Engine, slot: Slot) -> bool:
        """Do the next detection if the engine of a slot can. Return whether it did one."""
        if not self._detecting.acquire(blocking=False):
            return False
        try:
            detection = self._next(slot)
            if detection:
                self._answer(engine, slot, detection)
            return detection is not None
        finally:
            self._detecting.release()

    def models(self) -> set[ModelFile]:
        """Return the models that the detections need which wait."""
        with self._lock:
            return {each.model for theirs in self._waiting.values() for each in theirs}

    def _answer(self, engine: Engine, slot: Slot, detection: Detection) -> None:
        try:
            detection.result.set_result(self._detect(engine, slot, detection))
        except Exception as error:  # noqa: BLE001 - the request that waits reports it
            detection.result.set_exception(_reported(error))

    def _next(self, slot: Slot) -> Detection | None:
        with self._lock:
            user = next(iter(self._waiting), None)
            if user is None or not slot.can_run(self._waiting[user][0].model):
                return None
            theirs = self._waiting.pop(user)
            detection = theirs.popleft()
            if theirs:
                self._waiting[user] = theirs  # the last turn
            return detection

    def _detect(self, engine: Engine, slot: Slot, detection: Detection) -> LanguageDetected | None:
        wav = self._storage.speech(detection.file_uuid)
        found = self._find_speech(engine, detection, wav)
        speech = _read_speech(wav, found, detection.samples)
        if not speech:
            return None
        self._check(detection)
        sharing = 1 if self._is_idle() else slot.machine.engines
        request = DetectLanguage(speech, slot.machine.threads_for(sharing))
        answer = engine.ask(detection.model.path, request, DETECT_SECONDS, self._is_running)
        assert isinstance(answer, LanguageDetected)
        return answer

    def _find_speech(self, engine: Engine, detection: Detection, wav: Path) -> bytes:
        """Return the probabilities of speech of the recording's first frames, enough of them."""
        known = speech_probabilities.load(self._storage, detection.file_uuid, detection.samples)
        if known is not None:
            return known[: SEARCHED_BLOCKS * BLOCK_FRAMES]
        found = b""
        for block in speech_blocks(detection.samples)[:SEARCHED_BLOCKS]:
            self._check(detection)
            request = find_speech(wav, block)
            answer = engine.ask(detection.model.path, request, BLOCK_SECONDS, self._is_running)
            assert isinstance(answer, SpeechFound)
            found += bytes(answer.probabilities)
            if _speech_seconds(found) >= SPEECH_SECONDS:
                break
        return found

    def _check(self, detection: Detection) -> None:
        """Raise Cancelled if nobody waits any more.

        Engines are asked to stop only when the service ends: a client that is gone costs no engine.
        """
        if not (detection.is_wanted and self._is_running()):
            raise Cancelled


def _speech_seconds(probabilities: bytes) -> float:
    return sum(each >= SPEECH * CERTAIN for each in probabilities) / FRAMES_PER_SECOND


def _read_speech(wav: Path, probabilities: bytes, samples: int) -> bytes:
    """Return the samples of the first SPEECH_SECONDS of speech, without the silence around it."""
    chunks = plan([each / CERTAIN for each in probabilities], samples, SPEECH_SECONDS)
    speech = b""
    for start, stop in (span for chunk in chunks for span in chunk.spans):
        speech += read_samples(wav, start, stop)
        if len(speech) >= MAX_BYTES:
            break
    return speech[:MAX_BYTES]


def _reported(error: Exception) -> ServiceError:
    """Return the error for the client of a failed detection."""
    if isinstance(error, Cancelled):
        return Unavailable("The detection of the language was interrupted. Please try again")
    if isinstance(error, EngineCrashed | EngineLost):
        logger.warning("The detection of a language: %s", error)
        return Unavailable("The detection of the language failed. Please try again")
    if isinstance(error, FileNotFoundError):
        return NotFound("File not found or access denied")
    if isinstance(error, ServiceError):
        return InvalidRequest(str(error))
    logger.error("The detection of a language failed", exc_info=error)
    return ServiceError("Internal server error")
