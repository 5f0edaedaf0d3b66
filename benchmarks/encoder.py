"""How close the encoder comes to what one core can do in products of matrices."""

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.report import print_ratio
from whisper_service.config import EngineSettings
from whisper_service.models import ggml
from whisper_service.whisper.native import library

POSITIONS = 1500
CONVOLUTION = 3  # steps wide


def compare(native: str, model: Path, pairs: int) -> None:
    """Print the GFLOP/s of all of the encoder over those of numpy's product (OpenBLAS, float32)."""
    environment = {**library.environment(EngineSettings(native)), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.encoder_process", str(model), str(pairs)],
        check=True,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # whisper.cpp's report
    )
    encode = operations(model)
    rows = [(encode / seconds, product) for seconds, product in json.loads(done.stdout)]
    print_ratio("encoder over sgemm, one core", rows, "0.8", " GFLOP/s")


def operations(model: Path) -> float:
    """Return the floating-point operations, in billions, of encoding 30 seconds.

    Those of products and convolutions alone; a multiplication and an addition are two.
    """
    sizes = ggml.read_header(model)
    width = sizes.n_audio_state
    layer = POSITIONS * (4 + 8) * width**2 + 2 * POSITIONS**2 * width
    first = 2 * POSITIONS * CONVOLUTION * sizes.n_mels * width
    second = POSITIONS * CONVOLUTION * width**2
    decoder = sizes.n_text_layer * POSITIONS * 2 * width**2  # keys and values for it
    return 2 * (sizes.n_audio_layer * layer + first + second + decoder) / 1e9
