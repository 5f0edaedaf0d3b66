"""Quantizing a plain ggml model: large matrices in blocks of few bits, smaller and faster.

q8_0 is, bit for bit, what whisper.cpp's `whisper-quantize` makes. In q4_0 and q5_0 the scale of a
block is chosen among a few, and fitted, so that the squared error is at least a tenth smaller.
"""

import io
from collections.abc import Iterator
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from whisper_service.errors import CommandError
from whisper_service.models import ggml, part_file
from whisper_service.models.architecture import expected_tensors
from whisper_service.models.part_file import say

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

# The header's ftype.
FTYPES = {"q4_0": 2002, "q5_0": 2008, "q8_0": 2007}

_BLOCK = 32  # values that share a scale
_SLICE = 1 << 18  # values held at a time


def quantize(source: Path, name: str, file: io.FileIO) -> None:
    """Write the model, quantized to `q4_0`, `q5_0` or `q8_0`, into a locked part file.

    Raises CommandError for a source that is not a sound float32 or float16 model. On any error the
    part file is left empty.
    """
    try:
        header = ggml.check(source)
    except ggml.ModelFileError as error:
        raise CommandError(f"{source.name} cannot be quantized: {error}") from error
    if header.weight_type not in ggml.DTYPES:
        raise CommandError(f"{source.name} cannot be quantized: it is not float32 or float16")
    say(f"Quantizing {source.name} to {name}")
    part_file.clear(file)
    try:
        with source.open("rb") as plain, open(file.fileno(), "wb", closefd=False) as output:
            _convert(plain, FTYPES[name], output)
    except BaseException:
        part_file.clear(file)
        raise


def _convert(plain: BinaryIO, ftype: int, output: BinaryIO) -> None:
    header = ggml.skip_to_tensors(plain)
    wanted = replace(header, ftype=ftype)
    ggml.write_header(output, wanted)
    _copy_between(plain, output.tell(), plain.tell(), output)  # mel filters and vocabulary
    tensors = expected_tensors(wanted)
    for _ in tensors:  # in the file's own order
        name, tensor = ggml.read_tensor(plain)
        ggml.write_tensor(output, name, tensors[name])
        slices = _slices(plain, prod(tensor.dims), tensor.kind)
        output.writelines(_encode(values, tensors[name].kind) for values in slices)


def _copy_between(source: BinaryIO, start: int, stop: int, output: BinaryIO) -> None:
    source.seek(start)
    output.write(source.read(stop - start))


def _slices(plain: BinaryIO, count: int, kind: int) -> Iterator[Floats]:
    dtype = np.dtype(ggml.DTYPES[kind])
    while count:
        taken = min(count, _SLICE)
        values = np.frombuffer(plain.read(taken * dtype.itemsize), dtype).astype(np.float32)
        if not np.isfinite(values).all():
            raise CommandError("The model cannot be quantized: some of its weights are not finite")
        yield values
        count -= taken


def _encode(values: Floats, kind: int) -> bytes:
    if kind in ggml.DTYPES:
        return values.astype(ggml.DTYPES[kind]).tobytes()
    return _QUANTIZERS[kind](values.reshape(-1, _BLOCK)).tobytes()


def _q4_0(blocks: Floats) -> Bytes:
    scale, levels = _levels(blocks, 8)
    return np.hstack([scale, _nibbles(levels)])


def _q5_0(blocks: Floats) -> Bytes:
    scale, levels = _levels(blocks, 16)
    fifth_bits = np.packbits(levels >> 4, axis=1, bitorder="little")
    return np.hstack([scale, fifth_bits, _nibbles(levels & np.uint8(15))])


def _q8_0(blocks: Floats) -> Bytes:
    scale = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    scaled = (blocks * _inverse(scale)).astype(np.float64)
    rounded = np.trunc(scaled + np.copysign(0.5, scaled))  # halves away from zero
    return np.hstack([_half(scale), rounded.astype(np.int8).view(np.uint8)])


_QUANTIZERS = {2: _q4_0, 6: _q5_0, 8: _q8_0}  # by ggml type


def _levels(blocks: Floats, half: int) -> tuple[Bytes, Bytes]:
    """Return each block's scale, and its values as levels from 0 to 2 * half - 1 around half.

    Several levels are tried for the largest value, and the one with the smallest error is kept.
    """
    places = np.abs(blocks).argmax(axis=1)[:, None]
    largest = np.take_along_axis(blocks, places, axis=1)
    candidates = (-half - 0.5, -half, -half + 0.5, half - 1)
    scales = [_fitted(blocks, largest / np.float32(level), half) for level in candidates]
    levels = [_rounded(blocks, scale, half) for scale in scales]
    errors = [
        np.square(blocks - level * scale).sum(axis=1)
        for level, scale in zip(levels, scales, strict=True)
    ]
    best = np.argmin(errors, axis=0)[None, :, None]
    scale, level = (
        np.take_along_axis(np.stack(each), best, axis=0)[0] for each in (scales, levels)
    )
    return _half(scale), (level + half).astype(np.uint8)


def _fitted(blocks: Floats, scale: Floats, half: int) -> Floats:
    """Improve a scale by least squares over the levels that it gives, as float16 can hold it."""
    levels = _rounded(blocks, scale, half)
    squares = np.square(levels).sum(axis=1, keepdims=True)
    product = (levels * blocks).sum(axis=1, keepdims=True)
    fitted: Floats = np.divide(product, squares, out=np.zeros_like(scale), where=squares != 0)
    return fitted.astype(np.float16).astype(np.float32)


def _rounded(blocks: Floats, scale: Floats, half: int) -> Floats:
    levels: Floats = np.clip(np.rint(blocks * _inverse(scale)), -half, half - 1)
    return levels


def _inverse(scale: Floats) -> Floats:
    return np.divide(np.float32(1), scale, out=np.zeros_like(scale), where=scale != 0)


def _half(scale: Floats) -> Bytes:
    return scale.astype("<f2").view(np.uint8)


def _nibbles(levels: Bytes) -> Bytes:
    """Put the second half of a block into the upper four bits of the first."""
    return levels[:, : _BLOCK // 2] | levels[:, _BLOCK // 2 :] << np.uint8(4)
