"""Speech is searched for in new files before anybody orders a transcription of them.

Then a job begins with its chunks. No engine is started for it, and none is kept from a job.
"""

import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from whisper_service.errors import Cancelled
from whisper_service.files import speech_probabilities
from whisper_service.files.storage import Storage
from whisper_service.jobs.run import find_speech, speech_blocks
from whisper_service.tables import File
from whisper_service.whisper.engine import Engine, EngineCrashed
from whisper_service.whisper.protocol import SpeechFound

MAX_FILES = 100  # that wait; beyond that the oldest are left to their jobs
BLOCK_SECONDS = 60  # in which a block of a minute has to be searched

logger = logging.getLogger(__name__)


class SpeechSearch:
    """The files to search. Safe for threads.

    `is_idle` returns whether there is no other work for engines, `is_running` whether to go on.
    """

    def __init__(
        self, storage: Storage, is_idle: Callable[[], bool], is_running: Callable[[], bool]
    ) -> None:
        self._storage = storage
        self._is_idle, self._is_running = is_idle, is_running
        self._waiting: deque[str] = deque(maxlen=MAX_FILES)

    def add(self, uuid: str) -> None:
        self._waiting.append(uuid)

    def search_once(self, engine: Engine) -> bool:
        """Search the next file, if the engine has a model loaded. Return whether there was one.

        The search ends without a result when there is other work, or the file was deleted.
        """
        with suppress(IndexError):
            if engine.model:
                self._search(engine, self._waiting.popleft())
                return True
        return False

    def _search(self, engine: Engine, uuid: str) -> None:
        file = File.get_or_none(File.uuid == uuid)
        if file is None or file.samples is None:
            return
        if speech_probabilities.load(self._storage, uuid, file.samples) is not None:
            return  # a job has found them
        try:
            probabilities = self._find(engine, self._storage.speech(uuid), file.samples)
        except (Cancelled, FileNotFoundError):
            return
        except EngineCrashed as error:
            logger.warning("The search for speech in file %s: %s", uuid, error)
            return
        speech_probabilities.keep(self._storage, uuid, probabilities)

    def _find(self, engine: Engine, wav: Path, samples: int) -> bytes:
        found = b""
        for block in speech_blocks(samples):
            # The engine asks whether to go on only while it takes long.
            if not (engine.model and self._is_running() and self._is_idle()):
                raise Cancelled
            request = find_speech(wav, block)
            answer = engine.ask(engine.model, request, BLOCK_SECONDS, self._is_running)
            assert isinstance(answer, SpeechFound)
            found += bytes(answer.probabilities)
        return found
