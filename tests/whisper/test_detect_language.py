"""The engine's own detection of a language, with real models."""

import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import DATA, ROOT
from whisper_service.whisper import protocol
from whisper_service.whisper.engine import Engine
from whisper_service.whisper.protocol import DetectLanguage, LanguageDetected

BASE = ROOT / "models" / "ggml-base.bin"


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()


def detect(engine: Engine, model: Path, samples: bytes) -> LanguageDetected:
    answer = engine.ask(model, DetectLanguage(samples, 2), 120, lambda: True)
    assert isinstance(answer, LanguageDetected)
    return answer


def samples(name: str) -> bytes:
    with wave.open(str(DATA / name)) as file:
        return file.readframes(file.getnframes())


def test_an_english_only_model_knows_no_other(engine: Engine, tiny_en_model: Path) -> None:
    found = detect(engine, tiny_en_model, samples("austen-0880.wav"))
    assert found == LanguageDetected("en", 1.0)


@pytest.mark.skipif(not BASE.exists(), reason="needs models/ggml-base.bin, as `make run` gets it")
def test_a_multilingual_model_detects_english(engine: Engine) -> None:
    found = detect(engine, BASE, samples("austen-0880.wav"))
    assert found.language == "en"
    assert 0.9 < found.probability < 1


@pytest.mark.parametrize(
    "message", [DetectLanguage(b"\n{}\0\xff", 3), LanguageDetected("haw", 0.123456789)]
)
def test_its_messages_arrive_as_they_were_sent(message: protocol.Message) -> None:
    assert protocol.from_bytes(protocol.to_bytes(message)) == message
