"""Measures the encoder with one thread, in the library that the environment names.

Run by encoder.py as `python -m benchmarks.encoder_process MODEL TIMES`. Prints pairs in JSON: the
seconds of encoding 30 s, and the GFLOP/s of a product of large matrices.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from whisper_service.whisper.binding import binding
from whisper_service.whisper.engine_process import load

FRAMES = 3000
SIZE = 1024


def main() -> None:
    context = load(Path(sys.argv[1]))
    bands = binding.whisper_model_n_mels(context)
    mel = np.random.default_rng(1).normal(0, 0.3, bands * FRAMES).astype(np.float32)
    binding.whisper_set_mel(context, mel, FRAMES, bands)
    matrix = np.random.default_rng(2).normal(0, 1, (SIZE, SIZE)).astype(np.float32)

    def encode() -> float:
        return _best(lambda: binding.whisper_encode(context, 0, 1))

    def multiply() -> float:
        return 2 * SIZE**3 / 1e9 / _best(lambda: matrix @ matrix)

    encode()
    print(json.dumps([(encode(), multiply()) for _ in range(int(sys.argv[2]))]))


def _best(work: Callable[[], object]) -> float:
    """Return the least seconds of three calls."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


if __name__ == "__main__":
    main()
