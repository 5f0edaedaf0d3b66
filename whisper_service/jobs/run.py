"""A claimed job while it runs, in tasks that several engines can share."""

import time
import wave
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from operator import itemgetter
from pathlib import Path

from whisper_service.audio import FRAME_SAMPLES, seconds_of
from whisper_service.jobs.job import Job
from whisper_service.models.catalog import ModelFile
from whisper_service.transcripts.transcript import Segment, Transcript, Word, tidy
from whisper_service.whisper.chunking import Chunk, plan
from whisper_service.whisper.options import Options
from whisper_service.whisper.protocol import (
    CERTAIN,
    Answer,
    FindSpeech,
    Request,
    SpeechFound,
    Transcribe,
    Transcribed,
)
from whisper_service.whisper.vad import LEAD

NO_OPTIONS = Options()
# Speech is searched for in blocks of a minute, short enough for two engines to share.
BLOCK_FRAMES = 2048
BLOCK_SAMPLES = BLOCK_FRAMES * FRAME_SAMPLES
# The last tasks for each engine, of which the longest come first, so that engines end together.
LAST_TASKS = 2


def speech_blocks(samples: int) -> list[Chunk]:
    """Return the blocks of a recording, which are searched for speech one by one."""
    starts = range(0, samples, BLOCK_SAMPLES)
    return [Chunk(start, min(start + BLOCK_SAMPLES, samples)) for start in starts]


def find_speech(wav: Path, block: Chunk) -> FindSpeech:
    """Return the request to search a block for speech."""
    whole_frames = -(-block.stop // FRAME_SAMPLES) * FRAME_SAMPLES
    return FindSpeech(read_samples(wav, block.start - LEAD, whole_frames))


@dataclass(frozen=True)
class Task:
    """One request to an engine: what to do with a part of the recording."""

    do: str
    chunk: Chunk

    @property
    def seconds(self) -> float:
        return seconds_of(self.chunk.samples)

    def request(
        self,
        wav: Path,
        language: str,
        threads: int,
        beam_size: int = 1,
        options: Options = NO_OPTIONS,
        expected: str | None = None,
    ) -> Request:
        """Return the request to the engine, with the samples that it needs."""
        if self.do == FIND_SPEECH:
            return find_speech(wav, self.chunk)
        samples = b"".join(read_samples(wav, start, stop) for start, stop in self.chunk.spans)
        breaks = self.chunk.breaks
        return Transcribe(samples, breaks, language, expected, threads, beam_size, options)


@dataclass(frozen=True)
class Progress:
    """How far a run has come: `share` of its speech, and `text` from the start without a gap."""

    share: float
    text: str


FIND_SPEECH = "find speech"
TRANSCRIBE = "transcribe"


class Run:
    """First speech is searched for, then the chunks with speech are transcribed, in any order.

    With the `probabilities` of all frames, that search is done already. `engines` is how many may
    share the run. Not safe for threads: the scheduler that holds the runs has a lock.
    """

    def __init__(
        self,
        job: Job,
        model: ModelFile,
        language: str,
        chunk_seconds: float,
        saved: Mapping[Chunk, Transcribed],
        probabilities: bytes | None = None,
    ) -> None:
        self.job = job
        self.model = model
        self.language = language  # asked for
        self.options = Options.from_text(job.key.options)
        self.engines = 1
        # What crashed once may be the fault of a GPU.
        self.avoids_devices = job.attempts > 0
        self._chunk_seconds = chunk_seconds
        self._saved = saved
        self._found: dict[Chunk, bytes] = {}
        self._answers: dict[Chunk, Transcribed] = {}
        self._ready: deque[Task] = deque()
        if probabilities is None:
            self._ready.extend(Task(FIND_SPEECH, block) for block in speech_blocks(job.samples))
        else:
            self._found[Chunk(0, job.samples)] = probabilities
        self._waiting: list[Task] = []
        self._under_way = 0
        self._lost: Counter[Chunk] = Counter()
        self._is_planned = False
        self._planned: list[Chunk] = []
        self.speech_samples = 0  # of all chunks with their pauses, once they are planned
        self._done_samples = 0
        self._resumed_samples = 0
        self._spoken_seconds: defaultdict[str, float] = defaultdict(float)
        self._texts: list[str] = []  # of the chunks from the first one on without a gap
        self._text = ""
        self._begun = time.monotonic()

    @property
    def ready(self) -> int:
        """The number of tasks that engines could take now.

        Those of engines that were lost a moment ago are still under way.
        """
        return max(0, min(len(self._ready), self.engines - self._under_way))

    @property
    def chunks_ready(self) -> int:
        """The number of chunks that wait to be transcribed."""
        return len(self._ready) if self._is_planned else 0

    @property
    def is_under_way(self) -> bool:
        """Whether any engine is at it."""
        return self._under_way > 0

    @property
    def needs_plan(self) -> bool:
        """Whether all speech is found and the chunks are still to be planned."""
        return not (self._is_planned or self._ready or self._under_way)

    @property
    def is_complete(self) -> bool:
        return self._is_planned and not (self._ready or self._waiting or self._under_way)

    def next_task(self) -> Task:
        self._under_way += 1
        if len(self._ready) > LAST_TASKS * self.engines:
            return self._ready.popleft()
        longest = max(self._ready, key=lambda task: task.seconds)
        self._ready.remove(longest)
        return longest

    def complete(self, task: Task, answer: Answer) -> None:
        """Record the answer to a task, and make the tasks ready that depend on it."""
        self._under_way -= 1
        if isinstance(answer, SpeechFound):
            self._found[task.chunk] = bytes(answer.probabilities)
        elif isinstance(answer, Transcribed):
            self._keep(task.chunk, answer)

    def take_back(self, task: Task) -> int:
        """Make a task ready again whose engine was lost. Return how often that happened to it."""
        self._under_way -= 1
        self._ready.appendleft(task)
        self._lost[task.chunk] += 1
        return self._lost[task.chunk]

    def progress(self) -> Progress:
        return Progress(self.share, self._text)

    def heard(self, after: int) -> list[list[Segment]]:
        """Return the segments of each chunk from the start without a gap, after the first ones."""
        chunks = islice(self._planned, after, len(self._texts))
        return [self._answers[chunk].segments for chunk in chunks]

    @property
    def share(self) -> float:
        """The share of the speech that is transcribed."""
        return self._done_samples / self.speech_samples if self.speech_samples else 0.0

    def speed(self) -> float | None:
        """Return how many seconds of audio this run has transcribed in a second; None at first."""
        made = self._done_samples - self._resumed_samples
        if not made:
            return None
        return made / self.speech_samples * seconds_of(self.job.samples) / self.seconds

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self._begun

    def transcript(self) -> Transcript:
        """Return the segments of all chunks, with times from the recording's start."""
        duration = seconds_of(self.job.samples)
        parts = [
            _in_recording(segment, chunk)
            for chunk, answer in sorted(self._answers.items(), key=itemgetter(0))
            for segment in answer.segments
        ]
        text = "".join(part.text for part in parts).strip()
        segments = tidy(parts, duration)
        return Transcript(text, self.spoken, duration, segments, self.options.task)

    @property
    def spoken(self) -> str | None:
        """The language spoken longest so far; None before anything was spoken."""
        spoken = self._spoken_seconds
        return max(spoken, key=lambda language: spoken[language], default=None)

    def _keep(self, chunk: Chunk, answer: Transcribed) -> None:
        """Record the answer for a chunk. The text grows as far as it has no gap."""
        self._answers[chunk] = answer
        self._done_samples += chunk.stop - chunk.start
        for segment in answer.segments:
            self._spoken_seconds[segment.language] += segment.end - segment.start
        before = len(self._texts)
        for following in islice(self._planned, before, None):
            if following not in self._answers:
                break
            segments = self._answers[following].segments
            self._texts.append("".join(segment.text for segment in segments))
        if len(self._texts) > before:
            self._text = "".join(self._texts).strip()
        self._release()

    def plan(self) -> list[Chunk]:
        """Return the chunks of a run that needs a plan, for `begin`.

        That can take seconds for a recording of many hours, and needs no lock: nothing else happens
        to the run meanwhile.
        """
        probabilities = [each / CERTAIN for each in self.probabilities()]
        return plan(probabilities, self.job.samples, self._chunk_seconds)

    def probabilities(self) -> bytes:
        """Return the probabilities of speech of all frames; none after `begin`."""
        return b"".join(found for _, found in sorted(self._found.items()))

    def begin(self, chunks: list[Chunk]) -> None:
        """Make the tasks of the chunks, except for those that are saved."""
        self._found.clear()
        self._is_planned, self._planned = True, chunks
        self.speech_samples = sum(chunk.stop - chunk.start for chunk in self._planned)
        self._waiting = [
            Task(TRANSCRIBE, chunk) for chunk in self._planned if chunk not in self._saved
        ]
        for chunk in self._planned:
            if chunk in self._saved:
                self._resumed_samples += chunk.stop - chunk.start
                self._keep(chunk, self._saved[chunk])
        if self.language != "auto":
            self._release()
        elif self._waiting:
            # The longest of the first chunks says in which language the others are expected.
            longest = max(self._waiting[:5], key=lambda task: task.seconds)
            self._waiting.remove(longest)
            self._ready.append(longest)

    def _release(self) -> None:
        """Make all chunks ready, now that a language is expected."""
        self._ready.extend(self._waiting)
        self._waiting.clear()


def read_samples(wav: Path, start: int, stop: int) -> bytes:
    """Read s16le samples of a mono WAV, with silence before the recording and after it."""
    with wave.open(str(wav), "rb") as file:
        first, last = max(start, 0), min(stop, file.getnframes())
        file.setpos(min(first, last))
        samples = file.readframes(max(0, last - first))
    return bytes(2 * (first - start)) + samples + bytes(2 * (stop - first) - len(samples))


def _in_recording(segment: Segment, chunk: Chunk) -> Segment:
    """Return a segment with times from the recording's start, within one part of its chunk."""
    place = chunk.place((segment.start + segment.end) / 2)
    start, end = (
        min(max(time + place.offset, place.start), place.end)
        for time in (segment.start, segment.end)
    )
    words = [
        Word(word.text, word.start + place.offset, word.end + place.offset)
        for word in segment.words
    ]
    return replace(segment, start=start, end=end, words=words)
