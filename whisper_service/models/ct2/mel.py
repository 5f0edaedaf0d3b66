"""The mel filters in a ggml model file."""

from decimal import Context, Decimal

import numpy as np
import numpy.typing as npt

from whisper_service.audio import SAMPLE_RATE

N_FFT = 400  # samples

# Logarithms of the C library differ in the last bit between platforms, which would change the
# filters; decimal's are rounded correctly everywhere, so a converted file has one hash.
_EXACT = Context(prec=40)

# Slaney's mel scale, from his Auditory Toolbox: linear up to 1 kHz, logarithmic above.
_BREAK_HZ = 1000
_BREAK_MEL = 15
_LOG_STEP = _EXACT.divide(_EXACT.ln(Decimal("6.4")), Decimal(27))


def filterbank(n_mels: int) -> npt.NDArray[np.float32]:
    """Return triangular filters of equal area, shape (n_mels, 201), as used to train Whisper.

    They are those of `librosa.filters.mel(sr=16000, n_fft=400, n_mels=n_mels)`.
    """
    bins = np.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1)
    edges = np.array([_hertz(place, n_mels + 1) for place in range(n_mels + 2)])
    widths = np.diff(edges)
    distances = edges[:, None] - bins
    rising = -distances[:-2] / widths[:-1, None]
    falling = distances[2:] / widths[1:, None]
    heights = np.minimum(rising, falling)
    triangles = np.where(heights > 0, heights, 0.0).astype(np.float32)  # never -0.0
    filters: npt.NDArray[np.float64] = triangles * (2 / (edges[2:] - edges[:-2]))[:, None]
    return filters.astype(np.float32)


def _hertz(place: int, count: int) -> float:
    """Return one of the frequencies that divide the mels up to half the sample rate equally."""
    above_break = _EXACT.ln(Decimal(SAMPLE_RATE // 2) / _BREAK_HZ)
    highest = _EXACT.add(_BREAK_MEL, _EXACT.divide(above_break, _LOG_STEP))
    mels = _EXACT.divide(_EXACT.multiply(highest, place), count)
    if mels < _BREAK_MEL:
        return float(_EXACT.divide(_EXACT.multiply(mels, 200), 3))
    logarithm = _EXACT.multiply(_EXACT.subtract(mels, _BREAK_MEL), _LOG_STEP)
    return float(_EXACT.multiply(_BREAK_HZ, _EXACT.exp(logarithm)))
