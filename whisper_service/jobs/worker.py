"""The background work: three threads for uploads, one for what is quick, one for each engine."""

from collections.abc import Callable
from functools import partial

from whisper_service.config import Config
from whisper_service.errors import Unavailable
from whisper_service.files import conversions, expiry
from whisper_service.files.storage import Storage
from whisper_service.files.turns import Turns
from whisper_service.jobs import queue, slots
from whisper_service.jobs.changes import ChangeNotifier
from whisper_service.jobs.language_detector import LanguageDetector
from whisper_service.jobs.runner import JobRunner
from whisper_service.jobs.slots import Slot
from whisper_service.jobs.speech_search import SpeechSearch
from whisper_service.jobs.threads import WorkerThreads
from whisper_service.whisper import devices
from whisper_service.whisper.engine import Engine
from whisper_service.whisper.native import library


class Worker:
    """All background work. Its steps can be called one by one, or repeated by its threads."""

    def __init__(self, config: Config, storage: Storage) -> None:
        environment = partial(library.environment, config.engine)
        self.engines = [Engine(environment) for _ in range(config.local_engines)]
        found = devices.find(config.engine)
        self._devices = [
            (Engine(partial(devices.environment, device)), slots.of_device(config.worker, device))
            for device in found
        ]
        self.changes = ChangeNotifier()
        self._config = config
        self._storage = storage
        # Apart, so that those of one kind don't wake the others.
        self._uploads = WorkerThreads(4)
        # As many again for what waits at engines elsewhere.
        number = len(self.engines) + len(self._devices) + 2 * config.cluster.most_engines
        self._threads = WorkerThreads(number)
        self._extraction, self._encoding = Turns(), Turns()
        self._slots = slots.local(config.worker, len(self.engines))
        all_slots = [*self._slots, *(slot for _, slot in self._devices)]
        self.runner = JobRunner(config, storage, all_slots, self._threads, self.changes)
        self.progress = self.runner.progress
        scheduler = self.runner.scheduler
        is_idle, heartbeat = scheduler.is_idle, self._threads.heartbeat
        self.languages = LanguageDetector(storage, is_idle, heartbeat)
        self._speech = SpeechSearch(storage, is_idle, heartbeat)

    @property
    def device_names(self) -> list[str]:
        """The names of the GPUs that are used."""
        return [slot.device.name for _, slot in self._devices]

    def start(self) -> None:
        for step in (
            self.extract_once,
            self.extract_short_once,
            self.encode_once,
            self.tidy_once,
        ):
            self._uploads.repeat(step)
        self.start_engines()

    def start_engines(self) -> None:
        """Start only what transcribes, for files that have their WAV."""
        for number, engine in enumerate(self.engines):
            transcribe = partial(self.transcribe_once, engine, number)
            self._threads.repeat(transcribe, partial(self._unload_idle, engine))
        for engine, slot in self._devices:
            transcribe = partial(self.runner.transcribe_once, engine, slot)
            self._threads.repeat(transcribe, partial(self._unload_idle, engine))

    def add_engine(self, engine: Engine, slot: Slot, goes_on: Callable[[], bool]) -> None:
        """Transcribe with one more engine while it `goes_on`. The caller adds its slot."""
        self._threads.repeat(partial(self._transcribe_elsewhere, engine, slot), goes_on=goes_on)

    def wake(self) -> None:
        """Wake the threads that sleep: there may be work."""
        self._uploads.wake()
        self._threads.wake()

    def check(self) -> None:
        """Raise Unavailable when a thread is stuck, an engine takes too long, or there is none."""
        self._uploads.check()
        self._threads.check()
        if not self.runner.scheduler.engines():
            raise Unavailable("No engine is connected; transcriptions wait for one")
        if any(engine.is_late for engine in self._all_engines()):
            raise Unavailable("An engine is stuck")

    def begin_stop(self) -> None:
        """Begin to end all work. What is running goes back to the queue as if it had not begun."""
        self._uploads.begin_stop()
        self._threads.begin_stop()
        self.changes.close()

    def stop(self) -> None:
        """End all work, and return when it has ended."""
        self.begin_stop()
        self._uploads.join()
        self._threads.join()
        for engine in self._all_engines():
            engine.close()
        self.runner.put_back_all()

    def extract_once(self) -> bool:
        """Make one file ready for transcription, if any waits. Return whether there was one."""
        return self._extract(only_short=False)

    def extract_short_once(self) -> bool:
        """Do the same for files that claim to be short, so that they never wait for long ones."""
        return self._extract(only_short=True)

    def encode_once(self) -> bool:
        """Make one file ready for download, if any waits. Return whether there was one."""
        seconds = self._config.media.max_duration_seconds
        return conversions.encode_next(
            self._storage, seconds, self._uploads.heartbeat, self._encoding
        )

    def tidy_once(self) -> bool:
        """Complete a stored transcription, or remove expired uploads. Return whether any was."""
        return self.complete_stored_once() or expiry.remove_expired(self._config, self._storage)

    def complete_stored_once(self) -> bool:
        """Complete one transcription whose transcript exists. Return whether there was one."""
        found = queue.complete_stored()
        if found:
            self.changes.notify()
        return found

    def transcribe_once(self, engine: Engine, number: int = 0) -> bool:
        """Do one task of a transcription, if any waits. Return whether there was anything to do.

        The first engine, which may hold any model, detects a language before it. Without either,
        search a new file for speech.
        """
        slot = self._slots[number]
        detected = number == 0 and self._detect_once(engine, slot)
        transcribed = self.runner.transcribe_once(engine, slot)
        return detected or transcribed or self._speech.search_once(engine)

    def _transcribe_elsewhere(self, engine: Engine, slot: Slot) -> bool:
        """Do one task with an engine elsewhere, which detects languages if none is here."""
        detected = not self.engines and self._detect_once(engine, slot)
        return self.runner.transcribe_once(engine, slot) or detected

    def _all_engines(self) -> list[Engine]:
        return [*self.engines, *(engine for engine, _ in self._devices)]

    def _detect_once(self, engine: Engine, slot: Slot) -> bool:
        detected = self.languages.detect_once(engine, slot)
        if detected:
            self.changes.notify()
        return detected

    def _extract(self, *, only_short: bool) -> bool:
        seconds, heartbeat = self._config.media.max_duration_seconds, self._uploads.heartbeat
        file = conversions.extract_next(
            self._storage, seconds, heartbeat, self._extraction, only_short=only_short
        )
        if file is None:
            return False
        self._speech.add(file.uuid)
        self.wake()
        self.changes.notify()
        return True

    def _unload_idle(self, engine: Engine, idle_seconds: float) -> None:
        """Free the memory of an engine that has had no work for some time."""
        if idle_seconds > self._config.worker.idle_seconds:
            engine.close()
