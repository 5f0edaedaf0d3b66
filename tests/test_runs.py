"""A job's tasks: their order, what they share, what is saved of them."""

from typing import Any

from tests.fakes import segment
from whisper_service.chunks import Chunk
from whisper_service.jobs import Job
from whisper_service.runs import FIND_SPEECH, TRANSCRIBE, Run, Task

SAMPLES = 100 * 16_000
BLOCKS = 2
# speech from 10 to 20 s and from 50 to 62 s
SPEECH = [1.0 if 310 <= frame < 620 or 1550 <= frame < 1920 else 0.0 for frame in range(3125)]


def make(language: str = "en", saved: dict[Chunk, dict[str, Any]] | None = None) -> Run:
    job = Job("claim", 1, "file", "model", "1", language, SAMPLES)
    return Run(job, language, 14, saved or {}, engines=2)


def find_speech(run: Run) -> None:
    for task in [run.take() for _ in range(BLOCKS)]:
        assert task.do == FIND_SPEECH
        request = task.request("x.wav", "en", 1)
        run.give(task, {"probabilities": SPEECH[request["start"] : request["stop"]]})


def answer(task: Task, text: str, language: str = "en") -> dict[str, Any]:
    end = task.seconds + 5  # Whisper's last cue may well end behind what it was given
    return {"language": language, "segments": [vars(segment(0.5, end, text))]}


def test_speech_is_looked_for_in_blocks_at_once() -> None:
    run = make()
    assert run.ready == BLOCKS
    tasks = [run.take() for _ in range(BLOCKS)]
    assert [task.do for task in tasks] == [FIND_SPEECH] * 2
    requests = [task.request("x.wav", "en", 1) for task in tasks]
    assert [(item["start"], item["stop"]) for item in requests] == [(0, 2048), (2048, 3125)]
    assert run.ready == 0
    assert not run.is_complete


def test_chunks_come_back_in_any_order_with_their_own_times() -> None:
    run = make()
    find_speech(run)
    first, second = run.take(), run.take()
    run.give(second, answer(second, " world."))
    assert not run.is_complete
    run.give(first, answer(first, " Hello"))
    assert run.is_complete
    transcript = run.transcript()
    assert transcript.text == "Hello world."
    assert transcript.duration == 100.0
    (one, two) = transcript.segments
    assert 10 <= one.start < 11
    assert one.end == first.chunk.stop / 16_000 < 21
    assert 49.5 < two.start < 51
    assert two.end == second.chunk.stop / 16_000 < 63


def test_the_language_is_detected_once_in_the_longest_chunk() -> None:
    run = make("auto")
    find_speech(run)
    assert run.ready == 1
    longest = run.take()
    assert longest.chunk.start > 40 * 16_000
    assert longest.request("x.wav", run.language, 1)["language"] == "auto"
    run.give(longest, answer(longest, " Welt.", "de"))
    other = run.take()
    assert other.request("x.wav", run.language, 1)["language"] == "de"
    run.give(other, answer(other, " Hallo", "de"))
    transcript = run.transcript()
    assert (transcript.language, transcript.text) == ("de", "Hallo Welt.")


def test_silence_is_an_empty_transcript() -> None:
    run = make("auto")
    for task in [run.take() for _ in range(BLOCKS)]:
        run.give(task, {"probabilities": [0.0] * 2048})
    assert run.is_complete
    assert run.transcript().segments == []


def test_what_was_saved_is_not_done_again() -> None:
    run = make("auto")
    find_speech(run)
    done = run.take()
    saved = {done.chunk: answer(done, " world.", "de")}
    again = make("auto", saved)
    find_speech(again)
    assert again.ready == 1
    left = again.take()
    assert left.chunk != done.chunk
    assert again.language == "de"
    again.give(left, answer(left, " Hello", "de"))
    assert again.transcript().text == "Hello world."


def test_a_request_counts_frames_or_samples() -> None:
    chunk = Chunk(512, 1000)
    assert Task(FIND_SPEECH, chunk).request("w", "en", 1)["stop"] == 2
    assert Task(TRANSCRIBE, chunk).request("w", "en", 1)["stop"] == 1000
