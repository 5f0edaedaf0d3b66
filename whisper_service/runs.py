"""A claimed job on its way through the engines, in tasks that several of them can share."""

import time
import wave
from array import array
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from operator import itemgetter
from pathlib import Path

from whisper_service.chunks import FRAME, Chunk, plan
from whisper_service.jobs import Job
from whisper_service.options import Options
from whisper_service.protocol import (
    Answer,
    FindSpeech,
    Request,
    SpeechFound,
    Transcribe,
    Transcribed,
)
from whisper_service.transcript import Segment, Transcript, Word, tidy
from whisper_service.vad import LEAD

SAMPLE_RATE = 16_000
NO_OPTIONS = Options()
# A minute in which speech is looked for at a time: short enough for two engines to share.
BLOCK = 2048 * FRAME  # samples


@dataclass(frozen=True)
class Task:
    """One piece of work for an engine: what to do with a stretch of the recording."""

    do: str
    chunk: Chunk

    @property
    def seconds(self) -> float:
        return (self.chunk.stop - self.chunk.start) / SAMPLE_RATE

    def request(
        self,
        wav: Path,
        language: str,
        threads: int,
        beam_size: int = 1,
        options: Options = NO_OPTIONS,
    ) -> Request:
        """Put the task to the engine, with the samples that it needs."""
        start, stop = self.chunk.start, self.chunk.stop
        if self.do == FIND_SPEECH:
            whole_frames = -(-stop // FRAME) * FRAME
            return FindSpeech(read_samples(wav, start - LEAD, whole_frames))
        samples = read_samples(wav, start, stop)
        return Transcribe(samples, language, threads, beam_size, options)


@dataclass(frozen=True)
class Progress:
    """How far a run has come: `share` of its speech, and `text` from the start without a gap."""

    share: float
    text: str


FIND_SPEECH = "find speech"
TRANSCRIBE = "transcribe"


class Run:
    """First speech is looked for, then the chunks with speech are transcribed, in any order.

    The first so many of the engines may share it. Not safe for threads: the board that holds the
    runs has a lock.
    """

    def __init__(
        self,
        job: Job,
        language: str,
        chunk_seconds: float,
        saved: Mapping[Chunk, Transcribed],
        engines: int,
    ) -> None:
        self.job = job
        self.language = language
        self.options = Options.from_text(job.options)
        self.engines = engines
        self._chunk_seconds = chunk_seconds
        self._saved = saved
        self._probabilities: dict[Chunk, array[float]] = {}
        self._answers: dict[Chunk, Transcribed] = {}
        blocks = range(0, job.samples, BLOCK)
        chunks = [Chunk(start, min(start + BLOCK, job.samples)) for start in blocks]
        self._ready = deque(Task(FIND_SPEECH, chunk) for chunk in chunks)
        self._waiting: list[Task] = []
        self._under_way = 0
        self._planned: list[Chunk] = []
        self._begun = time.monotonic()

    @property
    def ready(self) -> int:
        """Count the tasks that engines could take now."""
        return min(len(self._ready), self.engines - self._under_way)

    @property
    def is_complete(self) -> bool:
        return not (self._ready or self._waiting or self._under_way)

    def take(self) -> Task:
        self._under_way += 1
        return self._ready.popleft()

    def give(self, task: Task, answer: Answer) -> None:
        """Take the answer to a task, and see what can be done next."""
        self._under_way -= 1
        if isinstance(answer, SpeechFound):
            self._probabilities[task.chunk] = array("f", answer.probabilities)
            if not (self._ready or self._under_way):
                self._plan()
        else:
            self._answers[task.chunk] = answer
            self._speak(answer.language)

    def progress(self) -> Progress:
        known = list(takewhile(self._answers.__contains__, self._planned))
        segments = (segment for chunk in known for segment in self._answers[chunk].segments)
        text = "".join(segment.text for segment in segments).strip()
        return Progress(self._share(self._answers), text)

    def speed(self) -> float | None:
        """Tell how many seconds of audio have been transcribed in a second; None at first."""
        made = self._share(chunk for chunk in self._answers if chunk not in self._saved)
        return made * self.job.samples / SAMPLE_RATE / self.seconds if made else None

    @property
    def seconds(self) -> float:
        """Tell how long it has been running."""
        return time.monotonic() - self._begun

    def _share(self, chunks: Iterable[Chunk]) -> float:
        total = sum(chunk.stop - chunk.start for chunk in self._planned)
        return sum(chunk.stop - chunk.start for chunk in chunks) / total if total else 0.0

    def transcript(self) -> Transcript:
        """Put the chunks' segments together, their times counted from the recording's start."""
        duration = self.job.samples / SAMPLE_RATE
        parts = [
            _within(segment, chunk)
            for chunk, answer in sorted(self._answers.items(), key=itemgetter(0))
            for segment in answer.segments
        ]
        text = "".join(part.text for part in parts).strip()
        segments = tidy(parts, duration)
        return Transcript(text, self.language, duration, segments, self.options.task)

    def _plan(self) -> None:
        heard = array("f")
        for _, block in sorted(self._probabilities.items()):
            heard.extend(block)
        self._probabilities.clear()
        self._planned = plan(heard, self.job.samples, self._chunk_seconds)
        for chunk in self._planned:
            if chunk in self._saved:
                self._answers[chunk] = self._saved[chunk]
                self._speak(self._saved[chunk].language)
            else:
                self._waiting.append(Task(TRANSCRIBE, chunk))
        if self.language != "auto":
            self._speak(self.language)
        elif self._waiting:
            # The first long one tells the language of all.
            longest = max(self._waiting[:5], key=lambda task: task.seconds)
            self._waiting.remove(longest)
            self._ready.append(longest)

    def _speak(self, language: str) -> None:
        """Let all chunks go ahead in the language that is known now."""
        if self.language == "auto":
            self.language = language
        self._ready.extend(self._waiting)
        self._waiting.clear()


def read_samples(wav: Path, start: int, stop: int) -> bytes:
    """Read s16le samples of a mono WAV, with silence before the recording and after it."""
    with wave.open(str(wav), "rb") as file:
        first, last = max(start, 0), min(stop, file.getnframes())
        file.setpos(min(first, last))
        samples = file.readframes(max(0, last - first))
    return bytes(2 * (first - start)) + samples + bytes(2 * (stop - first) - len(samples))


def _within(segment: Segment, chunk: Chunk) -> Segment:
    """Count a segment's times from the recording's start, and end it with its chunk."""
    start, stop = chunk.start / SAMPLE_RATE, chunk.stop / SAMPLE_RATE
    words = [Word(word.text, start + word.start, start + word.end) for word in segment.words]
    first, last = min(start + segment.start, stop), min(start + segment.end, stop)
    return replace(segment, start=first, end=last, words=words)
