"""What is transcribed: made of the recordings in tests/data, whose words are known."""

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.support.paths import DATA
from tests.support.speech import WORDS

RATE = 16_000
Samples = NDArray[np.int16]


@dataclass(frozen=True)
class Recording:
    """A WAV of 16 kHz and what is said in it."""

    name: str
    path: Path
    words: str
    seconds: float


def dense(folder: Path) -> Recording:
    """Say all six clips five times, 0.3 s apart: three minutes of speech without a rest."""
    pause = np.zeros(int(0.3 * RATE), np.int16)
    parts = [part for _ in range(5) for name in sorted(WORDS) for part in (_read(name), pause)]
    return _write(folder, "dense", parts, " ".join([_all_words()] * 5))


def sparse(folder: Path) -> Recording:
    """Spread 95 s of speech over ten minutes of faint noise, as a baby monitor would hear it."""
    random = np.random.default_rng(7)
    names = sorted(WORDS) * 2 + ["jfk.wav", "austen-0880.wav"]
    speech = [_read(name) for name in names]
    rest = 600 * RATE - sum(len(part) for part in speech)
    pauses = np.diff(np.sort([0, rest, *random.integers(0, rest, len(names))]))
    parts = []
    for pause, part in zip(pauses, [*speech, np.zeros(0, np.int16)], strict=True):
        parts += [np.zeros(pause, np.int16), part]
    noise = random.normal(0, 25, 600 * RATE)  # about -62 dB of full scale
    sound = np.clip(np.concatenate(parts) + noise, -32_768, 32_767).astype(np.int16)
    return _write(folder, "sparse", [sound], " ".join(WORDS[name] for name in names))


def halting(folder: Path) -> Recording:
    """Say all clips, cut in their pauses, with 2 to 4 s of a room's noise in each cut and between.

    A speaker who searches for words: two minutes and more, a sentence in several pieces.
    """
    random = np.random.default_rng(11)
    parts = []
    for name in sorted(WORDS) * 2:
        for phrase in _phrases(_read(name)):
            parts += [phrase, _noise(random, int(random.uniform(2, 4) * RATE))]
    return _write(folder, "halting", parts, " ".join([_all_words()] * 2))


def _phrases(samples: Samples) -> list[Samples]:
    """Cut speech in the middle of its pauses: 0.25 s and more below 4 % of its loudest moment."""
    step = RATE // 100
    frames = samples[: len(samples) // step * step].reshape(-1, step).astype(np.float64)
    loud = np.sqrt((frames**2).mean(axis=1))
    is_pause = loud < 0.04 * loud.max()
    cuts, begin = [], None
    for number, quiet in enumerate([*is_pause, False]):
        if quiet and begin is None:
            begin = number
        elif not quiet and begin is not None:
            if number - begin >= 25 and begin > 30 and number < len(frames) - 30:
                cuts.append((begin + number) // 2 * step)
            begin = None
    return np.split(samples, cuts)


def _noise(random: np.random.Generator, count: int) -> Samples:
    return random.normal(0, 25, count).astype(np.int16)  # about -62 dB of full scale


def clips(folder: Path) -> list[Recording]:
    """Take the six clips one by one, of 3 to 11 s."""
    return [_write(folder, name[:-4], [_read(name)], WORDS[name]) for name in sorted(WORDS)]


def long(folder: Path, recording: Recording, seconds: int) -> Recording:
    """Repeat a recording until it has lasted so long. Its words are not counted."""
    once = _read_path(recording.path)
    times = -(-seconds * RATE // len(once))
    return _write(folder, f"long-{seconds}", [np.tile(once, times)[: seconds * RATE]], "")


def _all_words() -> str:
    return " ".join(WORDS[name] for name in sorted(WORDS))


def _read(name: str) -> Samples:
    return _read_path(DATA / name)


def _read_path(path: Path) -> Samples:
    with wave.open(str(path)) as wav:
        return np.frombuffer(wav.readframes(wav.getnframes()), "<i2")


def _write(folder: Path, name: str, parts: list[Samples], words: str) -> Recording:
    samples = np.concatenate(parts)
    path = folder / f"{name}.wav"
    with wave.open(str(path), "wb") as wav:
        wav.setparams((1, 2, RATE, 0, "NONE", ""))
        wav.writeframes(samples.astype("<i2").tobytes())
    return Recording(name, path, words, len(samples) / RATE)
