"""Whisper's log-mel spectrogram (openai/whisper's `log_mel_spectrogram`) in numpy.

whisper.cpp computes that of 30 seconds, whatever the audio's length, and takes ten times as long.
"""

from functools import cache

import numpy as np
import numpy.fft  # numpy imports it late otherwise, when the sandbox forbids it
from numpy.lib.stride_tricks import sliding_window_view

from whisper_service.models.ct2.mel import N_FFT, filterbank
from whisper_service.whisper.vad import Array

HOP = 160  # samples; a frame is 10 ms
_WINDOW = np.hanning(N_FFT + 1)[:-1].astype(np.float32)
_LEAST = 1e-10


def log_mel(audio: Array, bands: int, frames: int) -> Array:
    """Return the spectrogram, bands by frames, of samples from -1 to 1 and silence after them."""
    silence = np.zeros(N_FFT // 2 + HOP, np.float32)
    padded = np.concatenate([audio[N_FFT // 2 : 0 : -1], audio, silence])
    windows = sliding_window_view(padded, N_FFT)[::HOP][:frames] * _WINDOW
    spectrum = np.fft.rfft(windows, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    mel = np.full((bands, frames), np.log10(_LEAST), np.float32)
    mel[:, : len(power)] = np.log10(np.maximum(_filters(bands) @ power.T, _LEAST))
    scaled: Array = (np.maximum(mel, mel.max() - 8) + 4) / 4
    return scaled


@cache
def _filters(bands: int) -> Array:
    return filterbank(bands)
