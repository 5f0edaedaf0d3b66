"""A job's tasks: their order, what they share, what is saved of them."""

import io
import wave
from dataclasses import replace
from operator import attrgetter
from pathlib import Path

import numpy as np
import pytest

from tests.support.engine import segment
from whisper_service.audio import FRAME_SAMPLES, FRAMES_PER_SECOND, SAMPLE_RATE
from whisper_service.jobs.job import Job
from whisper_service.jobs.run import BLOCK_SAMPLES, FIND_SPEECH, TRANSCRIBE, Run, Task
from whisper_service.models.catalog import ModelFile
from whisper_service.transcript_key import TranscriptKey
from whisper_service.transcripts.transcript import Word
from whisper_service.whisper import protocol
from whisper_service.whisper.chunking import Chunk
from whisper_service.whisper.options import Options
from whisper_service.whisper.protocol import (
    CERTAIN,
    Failed,
    FindSpeech,
    Ready,
    Request,
    SpeechFound,
    Transcribe,
    Transcribed,
)
from whisper_service.whisper.vad import LEAD

SAMPLES = 100 * 16_000
MODEL = ModelFile("model", Path("model.bin"), 1, "1", is_english_only=False)
BLOCKS = 2
# speech from 10 to 20 s and from 50 to 62 s
SPEECH = [CERTAIN if 310 <= frame < 620 or 1550 <= frame < 1920 else 0 for frame in range(3125)]


def make(
    language: str = "en",
    saved: dict[Chunk, Transcribed] | None = None,
    chunk_seconds: float = 14,
    probabilities: bytes | None = None,
) -> Run:
    job = Job("claim", 1, TranscriptKey("file", "model", "1", language, ""), SAMPLES)
    run = Run(job, MODEL, language, chunk_seconds, saved or {}, probabilities)
    run.engines = 2
    return run


def find_speech(run: Run) -> None:
    for task in [run.next_task() for _ in range(BLOCKS)]:
        assert task.do == FIND_SPEECH
        first, last = task.chunk.start // FRAME_SAMPLES, -(-task.chunk.stop // FRAME_SAMPLES)
        run.complete(task, SpeechFound(SPEECH[first:last]))
    begin(run)


def begin(run: Run) -> None:
    assert run.needs_plan
    assert not run.is_complete
    run.begin(run.plan())
    assert not run.needs_plan


def answer(task: Task, text: str, language: str = "en") -> Transcribed:
    end = task.seconds + 5  # Whisper's last cue may well end behind what it was given
    return Transcribed(language, [segment(0.5, end, text, language)])


def test_speech_is_looked_for_in_blocks_at_once() -> None:
    run = make()
    assert run.ready == BLOCKS
    tasks = [run.next_task() for _ in range(BLOCKS)]
    assert [task.do for task in tasks] == [FIND_SPEECH] * 2
    assert [task.chunk for task in tasks] == [
        Chunk(0, BLOCK_SAMPLES),
        Chunk(BLOCK_SAMPLES, SAMPLES),
    ]
    assert run.ready == 0
    assert not run.is_complete


def test_chunks_come_back_in_any_order_with_their_own_times() -> None:
    run = make()
    find_speech(run)
    first, second = sorted((run.next_task(), run.next_task()), key=attrgetter("chunk"))
    run.complete(second, answer(second, " world."))
    assert not run.is_complete
    run.complete(first, answer(first, " Hello"))
    assert run.is_complete
    transcript = run.transcript()
    assert transcript.text == "Hello world."
    assert transcript.duration == 100.0
    (one, two) = transcript.segments
    assert 10 <= one.start < 11
    assert one.end == first.chunk.stop / 16_000 < 21
    assert 49.5 < two.start < 51
    assert two.end == second.chunk.stop / 16_000 < 63


def test_a_run_that_knows_its_speech_begins_with_its_chunks() -> None:
    found, known = make(), make(probabilities=bytes(SPEECH))
    find_speech(found)
    begin(known)
    assert known.ready == found.ready == 2
    assert [known.next_task() for _ in range(2)] == [found.next_task() for _ in range(2)]


def test_of_the_last_chunks_the_longest_come_first() -> None:
    lengths = [8, 12, 9, 7, 12, 10, 8, 12]
    speech: list[int] = []
    for seconds in lengths:
        speech += [CERTAIN] * round(seconds * FRAMES_PER_SECOND) + [0] * 64
    speech += [0] * (-(-SAMPLES // FRAME_SAMPLES) - len(speech))
    run = make(probabilities=bytes(speech), chunk_seconds=13)
    begin(run)
    seconds = []
    while not run.is_complete:
        task = run.next_task()
        run.complete(task, answer(task, ""))
        seconds.append(round(task.seconds))
    assert seconds[-4:] == sorted(seconds[-4:], reverse=True)
    assert seconds[:-4] != sorted(seconds[:-4], reverse=True)


def test_the_longest_chunk_says_which_language_is_expected() -> None:
    run = make("auto")
    find_speech(run)
    assert run.ready == 1
    longest = run.next_task()
    assert longest.chunk.start > 40 * 16_000
    assert run.spoken is None
    run.complete(longest, answer(longest, " Welt.", "de"))
    other = run.next_task()
    assert run.spoken == "de"
    run.complete(other, answer(other, " Hallo", "de"))
    transcript = run.transcript()
    assert (transcript.language, transcript.text) == ("de", "Hallo Welt.")


def test_the_language_is_the_one_spoken_longest() -> None:
    run = make("auto")
    find_speech(run)
    longest = run.next_task()
    run.complete(longest, answer(longest, " Welt.", "de"))
    other = run.next_task()
    run.complete(other, answer(other, " Hello", "en"))
    transcript = run.transcript()
    assert transcript.language == "de"
    assert [segment.language for segment in transcript.segments] == ["en", "de"]


def test_times_skip_the_pauses_that_were_left_out() -> None:
    run = make(chunk_seconds=25)
    find_speech(run)
    task = run.next_task()
    assert run.ready == 0
    (one, two), (pause,) = task.chunk.spans, task.chunk.breaks
    assert pause == (one[1] - one[0]) / SAMPLE_RATE
    words = [Word("late", pause + 0.5, pause + 1)]
    late = replace(segment(pause, pause + 1, " late"), words=words)
    run.complete(task, Transcribed("en", [segment(0, pause, " early"), late]))
    early, late = run.transcript().segments
    assert (early.start, early.end) == (one[0] / SAMPLE_RATE, one[1] / SAMPLE_RATE)
    assert late.start == pytest.approx(two[0] / SAMPLE_RATE)
    assert late.words[0].start == pytest.approx(two[0] / SAMPLE_RATE + 0.5)


def test_silence_is_an_empty_transcript() -> None:
    run = make("auto")
    for task in [run.next_task() for _ in range(BLOCKS)]:
        run.complete(task, SpeechFound([0] * 2048))
    begin(run)
    assert run.is_complete
    assert run.transcript().segments == []
    assert run.transcript().language is None


def test_what_was_saved_is_not_done_again() -> None:
    run = make("auto")
    find_speech(run)
    done = run.next_task()
    saved = {done.chunk: answer(done, " world.", "de")}
    again = make("auto", saved)
    find_speech(again)
    assert again.ready == 1
    left = again.next_task()
    assert left.chunk != done.chunk
    assert again.spoken == "de"
    again.complete(left, answer(left, " Hello", "de"))
    assert again.transcript().text == "Hello world."


def ramp(folder: Path, samples: int) -> Path:
    """Write a WAV whose samples are 1, 2, 3, ..."""
    path = folder / "ramp.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(np.arange(1, samples + 1, dtype="<i2").tobytes())
    return path


def sent(request: Request) -> list[int]:
    return np.frombuffer(request.samples, "<i2").tolist()


def test_a_request_carries_the_samples_of_its_chunk(tmp_path: Path) -> None:
    wav = ramp(tmp_path, 2000)
    request = Task(TRANSCRIBE, Chunk(512, 1000)).request(wav, "en", 1)
    assert sent(request) == list(range(513, 1001))
    joined = Task(TRANSCRIBE, Chunk(0, 1000, ((0, 3), (900, 902)))).request(wav, "en", 1)
    assert sent(joined) == [1, 2, 3, 901, 902]
    assert sent(Task(TRANSCRIBE, Chunk(1990, 2010)).request(wav, "en", 1)) == [
        *range(1991, 2001),
        *([0] * 10),
    ]
    assert sent(Task(TRANSCRIBE, Chunk(3000, 3010)).request(wav, "en", 1)) == [0] * 10


def test_speech_is_looked_for_after_a_lead_and_in_whole_frames(tmp_path: Path) -> None:
    wav = ramp(tmp_path, 600)
    request = Task(FIND_SPEECH, Chunk(512, 600)).request(wav, "en", 1)
    before = LEAD - 512
    assert sent(request) == [0] * before + list(range(1, 601)) + [0] * (1024 - 600)


def test_messages_arrive_as_they_were_sent() -> None:
    samples = bytes(range(256)) + b"\n{}"
    options = Options(prompt="Grüße\n", word_timestamps=True)
    messages = [
        FindSpeech(samples),
        FindSpeech(b""),
        Transcribe(samples, [1.5], "auto", None, 2, 5, options),
        Ready(),
        SpeechFound([0, 128]),
        Transcribed("de", [replace(segment(0.5, 1, " Grüße"), words=[Word("Grüße", 0.5, 1)])]),
        Failed("No"),
    ]
    wire = io.BytesIO(b"".join(map(protocol.frame, messages)))
    assert [protocol.read(wire) for _ in messages] == messages
    with pytest.raises(EOFError):
        protocol.read(wire)
