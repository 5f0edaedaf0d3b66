"""The supervised engine, with real weights and real speech."""

import os
import signal
import sys
import threading
import wave
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import srt
import webvtt

from tests.support.hearing import hear
from tests.support.paths import DATA
from tests.support.speech import WORDS, word_error_rate
from whisper_service.audio import SAMPLE_RATE
from whisper_service.errors import Cancelled, ServiceError
from whisper_service.jobs.run import TRANSCRIBE, Task
from whisper_service.transcripts import formats
from whisper_service.transcripts.cues import Layout
from whisper_service.transcripts.transcript import Transcript
from whisper_service.whisper import engine as engine_module
from whisper_service.whisper.chunking import Chunk
from whisper_service.whisper.engine import Engine, EngineCrashed
from whisper_service.whisper.options import Options

JFK, SHORT = DATA / "jfk.wav", DATA / "austen-0880.wav"
REQUEST = Task(TRANSCRIBE, Chunk(0, 176_000)).request(JFK, "en", threads=2)


@pytest.fixture(scope="module")
def shared_engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()


@pytest.fixture
def engine(shared_engine: Engine) -> Engine:
    """An engine that may have its model loaded; its loads are counted anew."""
    shared_engine.loads = 0
    return shared_engine


def process_of(engine: Engine) -> int:
    assert engine._child
    return engine._child._process.pid


def test_words_are_right_and_cues_are_sound(engine: Engine, tiny_en_model: Path) -> None:
    heard = {name: hear(engine, tiny_en_model, DATA / name) for name in WORDS}
    texts = {name: transcript.text for name, transcript in heard.items()}
    assert word_error_rate(WORDS, texts) <= 0.10
    assert engine.loads <= 1
    for transcript in heard.values():
        check_cues(transcript)


def check_cues(transcript: Transcript) -> None:
    cues = list(srt.parse(formats.srt(transcript, Layout())["text"]))
    captions = webvtt.from_string(formats.vtt(transcript, Layout())["text"]).captions
    times = [(cue.start.total_seconds(), cue.end.total_seconds()) for cue in cues]
    assert len(cues) == len(captions) == len(transcript.segments) > 0
    assert all(cue.content.strip() for cue in cues)
    assert all(start < end for start, end in times)
    assert times == sorted(times)
    assert times[-1][1] <= transcript.duration
    assert [caption.text for caption in captions] == [cue.content for cue in cues]


def test_what_the_engine_knows_is_filled_in(engine: Engine, tiny_en_model: Path) -> None:
    transcript = hear(engine, tiny_en_model, JFK)
    for segment in transcript.segments:
        assert segment.tokens
        assert all(0 <= token < 50_256 for token in segment.tokens)
        assert -1.5 < segment.avg_logprob < 0
        assert 0.3 < segment.compression_ratio < 2.4


def test_beams_can_be_searched(engine: Engine, tiny_en_model: Path) -> None:
    answer = engine.ask(tiny_en_model, replace(REQUEST, beam_size=5), 60, lambda: True)
    heard = "".join(segment.text for segment in answer.segments)
    assert word_error_rate({"": WORDS["jfk.wav"]}, {"": heard}) <= 0.1


def test_an_engine_gives_way_to_requests(engine: Engine, tiny_en_model: Path) -> None:
    hear(engine, tiny_en_model, SHORT)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, process_of(engine)) > own


def test_an_english_model_hears_english_whatever_is_asked(
    engine: Engine, tiny_en_model: Path
) -> None:
    assert hear(engine, tiny_en_model, SHORT, "auto").language == "en"


def test_another_model_or_a_replaced_file_is_loaded(
    engine: Engine, tiny_en_model: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.bin"
    os.link(tiny_en_model, other)
    engine.close()
    for model in (tiny_en_model, tiny_en_model, other):
        hear(engine, model, SHORT)
    assert engine.loads == 2
    other.unlink()
    other.write_bytes(tiny_en_model.read_bytes())
    hear(engine, other, SHORT)
    assert engine.loads == 3


@pytest.mark.parametrize("damage", ["missing", "empty", "garbage", "truncated", "garbled"])
def test_a_bad_model_is_an_error_and_the_next_job_runs(
    engine: Engine, tiny_en_model: Path, tmp_path: Path, damage: str
) -> None:
    bad = tmp_path / "bad.bin"
    good = tiny_en_model.read_bytes()
    content = {
        "empty": b"",
        "garbage": os.urandom(100_000),
        "truncated": good[: len(good) // 2],
        "garbled": good[:4] + b"\xff" * 40 + good[44:],
    }
    if damage != "missing":
        bad.write_bytes(content[damage])
    with pytest.raises(ServiceError) as error:
        hear(engine, bad, SHORT)
    assert "model" in str(error.value).lower()
    assert str(tmp_path) not in str(error.value)
    assert hear(engine, tiny_en_model, SHORT).text


UNCHECKED = """
from whisper_service.models import ggml
from whisper_service.whisper import engine_process
ggml.check = lambda path: None
engine_process.main()
"""


def test_a_model_that_changed_after_its_check_is_no_crash(
    engine: Engine, tmp_path: Path, tiny_en_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tmp_path / "model.bin"
    changed.write_bytes(b"no model any more")
    with monkeypatch.context() as broken:
        broken.setattr(engine_module, "PROGRAM", [sys.executable, "-c", UNCHECKED])
        with pytest.raises(ServiceError, match="The model could not be loaded"):
            engine.ask(changed, REQUEST, 60, lambda: True)
    assert hear(engine, tiny_en_model, SHORT).text


def test_a_killed_process_is_noticed_and_replaced(engine: Engine, tiny_en_model: Path) -> None:
    engine.close()
    hear(engine, tiny_en_model, SHORT)
    process = process_of(engine)
    os.kill(process, signal.SIGSTOP)
    killer = threading.Timer(0.2, os.kill, (process, signal.SIGKILL))
    killer.start()
    with pytest.raises(EngineCrashed, match="-9"):
        hear(engine, tiny_en_model, JFK)
    killer.join()
    assert hear(engine, tiny_en_model, SHORT).text
    assert engine.loads == 2


def test_a_cancelled_job_ends_the_engine_that_hangs(engine: Engine, tiny_en_model: Path) -> None:
    hear(engine, tiny_en_model, SHORT)
    process = process_of(engine)
    os.kill(process, signal.SIGSTOP)
    with pytest.raises(Cancelled):
        engine.ask(tiny_en_model, REQUEST, 60, lambda: False)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_hung_engine_is_ended(engine: Engine, tiny_en_model: Path) -> None:
    hear(engine, tiny_en_model, SHORT)
    process = process_of(engine)
    os.kill(process, signal.SIGSTOP)
    with pytest.raises(EngineCrashed, match="too long"):
        engine.ask(tiny_en_model, REQUEST, 0.1, lambda: True)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_no_cue_covers_a_long_silence(engine: Engine, tiny_en_model: Path, tmp_path: Path) -> None:
    """Two sentences, 4 s apart, are one chunk: the second begins where it is said."""
    both = tmp_path / "both.wav"
    with wave.open(str(both), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        for name in ("austen-0880.wav", "austen-0930.wav"):
            with wave.open(str(DATA / name)) as clip:
                file.writeframes(clip.readframes(clip.getnframes()))
            if name == "austen-0880.wav":
                ends = file.tell() / SAMPLE_RATE
                file.writeframes(bytes(2 * 4 * SAMPLE_RATE))
    transcript = hear(engine, tiny_en_model, both)
    cues = [(segment.start, segment.end) for segment in transcript.segments]
    assert all(end < ends + 1 or start > ends + 3 for start, end in cues)
    first = " ".join(each.text for each in transcript.segments if each.end < ends + 1)
    assert word_error_rate({"": WORDS["austen-0880.wav"]}, {"": first}) <= 0.3
    rest = " ".join(each.text for each in transcript.segments if each.start > ends + 3)
    assert word_error_rate({"": WORDS["austen-0930.wav"]}, {"": rest}) <= 0.3


def test_words_have_times_of_their_own(engine: Engine, tiny_en_model: Path) -> None:
    """Kennedy pauses after 'Americans', from 2.2 to 3.3 s, and before 'what', from 4.3 to 5.0 s."""
    task = Task(TRANSCRIBE, Chunk(0, 176_000))
    request = task.request(JFK, "en", 2, options=Options(word_timestamps=True))
    segments = engine.ask(tiny_en_model, request, 60, lambda: True).segments
    words = [word for segment in segments for word in segment.words]
    texts = [word.text for word in words]
    assert " ".join(texts) == " ".join(segment.text.strip() for segment in segments)
    times = [time for word in words for time in (word.start, word.end)]
    assert times == sorted(times)
    spoken = dict(zip(texts[:8], words[:8], strict=True))
    assert spoken["Americans"].end < 2.7
    assert spoken["ask"].start > 2.7
    assert 4.5 < spoken["what"].start < 5.5


def test_a_library_that_cannot_be_loaded_is_left_out_on_request(
    tiny_en_model: Path, tmp_path: Path
) -> None:
    engine = Engine(lambda: {"WHISPER_LIBRARY": str(tmp_path / "none.so")})
    try:
        with pytest.raises(EngineCrashed):
            engine.ask(tiny_en_model, REQUEST, 60, lambda: True)
        answer = engine.ask(tiny_en_model, REQUEST, 60, lambda: True, is_prebuilt=True)
        assert "country" in answer.segments[-1].text
    finally:
        engine.close()
