"""The spectrogram is whisper.cpp's own, within float error."""

import wave
from pathlib import Path

import numpy as np
import pytest

from tests.support.paths import DATA
from whisper_service.whisper.binding import binding, logits
from whisper_service.whisper.engine_process import load
from whisper_service.whisper.mel import HOP, log_mel


@pytest.fixture(scope="module")
def context(tiny_en_model: Path) -> object:
    return load(tiny_en_model)


def first_logits(context: object) -> np.ndarray:
    """Return what the model thinks of the spectrogram that it has: the logits of a first token."""
    assert binding.whisper_encode(context, 0, 2) == 0
    assert binding.whisper_decode(context, binding.whisper_token_sot(context), 1, 0, 2) == 0
    return np.array(logits(context)[: binding.whisper_n_vocab(context)])


def test_the_model_hears_the_same_in_both(context: object) -> None:
    with wave.open(str(DATA / "austen-0880.wav")) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    audio = samples.astype(np.float32) / 32_768
    assert binding.whisper_pcm_to_mel(context, audio, audio.size, 2) == 0
    expected = first_logits(context)
    bands, frames = binding.whisper_model_n_mels(context), 3000
    binding.whisper_set_mel(context, log_mel(audio, bands, frames), frames, bands)
    found = first_logits(context)
    binding.whisper_set_mel(context, log_mel(audio * 0.9, bands, frames), frames, bands)
    other = first_logits(context)
    assert np.abs(found - expected).max() < 0.02
    assert np.abs(other - expected).max() > 0.02


@pytest.mark.parametrize("samples", [16_000, 16_001, 176_123])
def test_silence_follows_to_the_last_frame(samples: int) -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, samples).astype(np.float32)
    mel = log_mel(noise, 80, 1500)
    assert mel.shape == (80, 1500)
    ends = samples // HOP
    assert mel[:, :ends].min() > mel[:, ends + 3 :].max() or ends >= 1497
    assert len(set(mel[:, ends + 3 :].ravel())) <= 1
